"""`demo`, `serve`, `worker`, `dashboard`, `simulator`, and `run JOB`: the processes of Touchstone."""

import logging
import os
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from api import jobs
from api.dashboarding import dashboard_command
from api.sqlite_file import sole_sender
from api.wiring import Wiring, worker_name
from experiments.errors import Conflict, NotFound
from experiments.settings import Settings

Host = Annotated[
    str, typer.Option(help="Address to listen on; 127.0.0.1 is reachable from this machine only.")
]


def register(app: typer.Typer) -> None:
    for command in (demo, serve, worker, dashboard, simulator):
        app.command()(command)
    app.command("run")(run_job)


def demo(
    exit: Annotated[bool, typer.Option("--exit", help="End after the report is printed.")] = False,  # noqa: A002
    people: Annotated[int, typer.Option(min=100, max=50_000, help="Made-up people in the audience.")] = 3000,
    seconds: Annotated[
        float, typer.Option(min=20, max=3600, help="Real time for the two weeks of the campaign.")
    ] = 60,
    port: Annotated[int, typer.Option(help="Port of the API.")] = 8000,
    dashboard_port: Annotated[int, typer.Option(help="Port of the dashboard.")] = 8501,
    seed: Annotated[int, typer.Option(help="Everything made up follows from it.")] = 1,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its database; emptied first.")] = Path(
        "var/demo"
    ),
) -> None:
    """Run a made-up two-week campaign in about a minute, against a simulated WhatsApp on this machine.

    People are imported, the campaign is designed and started over the API, messages go out under caps, webhooks,
    clicks and orders come back, and the report is compared with the truth of the simulated world. Nothing leaves
    this machine.
    """
    from api.demo.show import show

    show(
        folder=folder,
        people=people,
        seconds=seconds,
        port=port,
        dashboard_port=dashboard_port,
        seed=seed,
        stay=not exit,
    )


def serve(
    host: Host = "127.0.0.1", port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000
) -> None:
    """Run the API, the scheduler and the dispatcher in one process. An empty database is migrated first.

    Make a key with `touchstone keys create --scope admin`, then open http://127.0.0.1:8000/docs
    """
    import uvicorn

    from api.app import create_app
    from api.worker import make_scheduler, settle_memory

    wiring = Wiring.from_environment()
    _check_free(host, port)
    wiring.prepare_database(create=True)
    with sole_sender(wiring.database):
        _announce(wiring, f"API http://{host}:{port}/docs")
        scheduler = make_scheduler(wiring)
        app = create_app(wiring)
        settle_memory()
        scheduler.start()
        try:
            uvicorn.run(app, host=host, port=port, log_level="warning")
        finally:
            wiring.ending.set()
            scheduler.shutdown(wait=True)
            wiring.close()


def _check_free(host: str, port: int) -> None:
    """Before anything is started or promised; whoever takes the port in the next moment gets the server's own error."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise Conflict(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port"
        ) from error


def worker() -> None:
    """Run the scheduler and the dispatcher without the API; on PostgreSQL, any number of them."""
    wiring = Wiring.from_environment()
    wiring.prepare_database(create=True)
    with sole_sender(wiring.database):
        _work(wiring)


def _work(wiring: Wiring) -> None:
    """Run every job until this process is asked to end."""
    from api.worker import make_scheduler, settle_memory

    asked_to_end = threading.Event()
    # Whoever runs many processes ends them with SIGTERM: no reason to leave claims behind until their leases run out.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_end.set())
    scheduler = make_scheduler(wiring)
    settle_memory()
    scheduler.start()
    _announce(wiring, f"worker {worker_name()}")
    try:
        asked_to_end.wait()
        typer.echo("finishing what is under way")
    finally:
        wiring.ending.set()
        scheduler.shutdown(wait=True)
        wiring.close()


def dashboard(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
    api_url: Annotated[
        str | None, typer.Option(help="Address of the API; TOUCHSTONE_API_URL when absent.")
    ] = None,
) -> None:
    """Run the dashboard. It asks for an API key with the scope read (write, to start and stop experiments).

    People sign in with their account where .streamlit/secrets.toml in this folder has a section [auth]; see docs/dashboard.md.
    """
    command = dashboard_command(port=port, api_url=api_url or Settings.from_environment().api_url)
    # In place of this process, so that ending it ends the dashboard.
    os.execv(command[0], command)  # noqa: S606  # our own command


def _announce(wiring: Wiring, what: str) -> None:
    """Say what runs, over which database, and what the settings leave undone; from here on the log tells when."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    typer.echo(f"{what}; database {wiring.database.url.render_as_string()}; stop it with Ctrl-C")
    for line in wiring.settings.advice():
        typer.echo(f"warning: {line}", err=True)


def simulator(
    port: Annotated[int, typer.Option(help="Port to listen on, on 127.0.0.1.")] = 9009,
    webhook_url: Annotated[
        str, typer.Option(help="Where webhooks are sent.")
    ] = "http://127.0.0.1:8000/webhooks/whatsapp",
    api_url: Annotated[
        str, typer.Option(help="Where links are clicked and events are tracked.")
    ] = "http://127.0.0.1:8000",
    write_key: Annotated[str, typer.Option(help="Key with the scope ingest, for tracking.")] = "",
    seed: Annotated[int, typer.Option(help="Everything that people do follows from it.")] = 0,
    throughput: Annotated[float, typer.Option(help="Messages per second before error 130429.")] = 80.0,
    tier: Annotated[
        int | None, typer.Option(help="Unique people in 24 hours; without it there is no limit.")
    ] = None,
    realistic: Annotated[
        bool,
        typer.Option(help="As strict as the real one: pair rate, engagement cap, holdout, template pacing."),
    ] = False,
    hurry: Annotated[
        float,
        typer.Option(help="People receive, read, click, buy and answer so many times sooner."),
    ] = 1.0,
    faults: Annotated[
        Path | None, typer.Option(help="A script of faults, as JSON or YAML; see docs/simulator.md.")
    ] = None,
) -> None:
    """Run a WhatsApp of your own: a server that answers as the Graph API does, with a world of people behind it.

    People take as long as people do: most read within hours. `--hurry 60` makes an hour of theirs a minute; the clocks of
    `serve` and of the simulator stay those of the machine, so windows, caps and quiet hours are not shortened.

    Point TOUCHSTONE_WHATSAPP_URL at it. Token, phone number id, account id and app secret are taken from the
    TOUCHSTONE_WHATSAPP_.. settings, and are `simulated`, `106540352242922`, `102290129340398` and `simulated` when those
    are empty. Load people with
    POST /simulator/world, ask for the truth with GET /simulator/truth; docs/simulator.md has all the rest.
    """
    from delivery.simulator.config import SimulatorConfig
    from delivery.simulator.fault_plan import FaultPlan, load_fault_plan
    from delivery.simulator.server import run as run_simulator

    known = SimulatorConfig.realistic() if realistic else SimulatorConfig()
    plan = FaultPlan() if faults is None else load_fault_plan(faults)
    settings = Settings.from_environment()
    run_simulator(
        replace(
            known,
            port=port,
            token=settings.whatsapp_token.get_secret_value() or known.token,
            phone_number_id=settings.whatsapp_phone_number_id or known.phone_number_id,
            waba_id=settings.whatsapp_business_account_id or known.waba_id,
            app_secret=settings.whatsapp_app_secret.get_secret_value() or known.app_secret,
            webhook_url=webhook_url,
            public_url=api_url,
            tracking_url=api_url,
            write_key=write_key,
            seed=seed,
            throughput=throughput,
            limits=replace(known.limits, tier=tier),
            delays=known.delays.hurried(hurry),
            fault_plan=plan,
        ),
        listening=lambda: typer.echo(
            f"simulated WhatsApp at http://127.0.0.1:{port}; webhooks go to {webhook_url}; stop it with Ctrl-C"
        ),
    )


def run_job(job: Annotated[str, typer.Argument(help=f"One of {', '.join(jobs.JOBS)}.")]) -> None:
    """Run one job of the scheduler once, now, and say what it did."""
    if job not in jobs.JOBS:
        raise NotFound(f"there is no job {job!r}; choose one of {', '.join(jobs.JOBS)}", field="JOB")
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    typer.echo(f"{job}: {jobs.JOBS[job](wiring)}")
