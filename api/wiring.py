"""The composition root: the one place where settings, clock, database and clients are put together."""

import os
import socket
import threading
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self

import numpy as np

from analysis.facts.engines import FactsCopy, FactsEngine, ReplicaFacts, open_replica
from api import migrations
from api.background_imports import BackgroundImports
from api.evaluation_memory import Exposed, PayloadShelf
from api.group_commit import GroupCommitter
from api.grouped_reads import GroupReader, answer_inquiries
from api.grouped_writes import Submission, store_submissions, store_webhooks
from api.id_tokens import Issuer
from api.keyring import KeyRing
from api.leadership import Leadership
from api.overview_memory import Overviews
from api.segment_memory import SegmentReports
from api.sqlite_file import is_missing
from delivery.sending.dispatch import Dispatcher
from delivery.watch.books import Books
from delivery.whatsapp.client import WhatsAppClient
from experiments.clock import Clock, SystemClock
from experiments.database import Database
from experiments.errors import Conflict, NotFound
from experiments.settings import Settings
from targeting.evaluation import Evaluator
from targeting.events import Ingested


@dataclass(frozen=True)
class Wiring:
    """What every way in shares. `facts` is where reports read, when that is not the application database."""

    settings: Settings
    clock: Clock
    database: Database
    facts: FactsEngine | None = None

    @classmethod
    def from_environment(cls, *, clock: Clock | None = None, **overrides: object) -> Self:
        """Read the settings of this process and open its database; raises Invalid naming a wrong setting."""
        settings = Settings.from_environment(**overrides)
        return cls(settings, clock or SystemClock(), Database(settings.database_url), open_replica(settings))

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """The one dispatcher of this process; its connections and what it has seen of errors outlive a single run.

        Raises Refused or Invalid unless messages can be sent with these settings.
        """
        settings = self.settings
        settings.check_whatsapp()
        client = WhatsAppClient(
            base_url=settings.whatsapp_url,
            version=settings.whatsapp_version,
            phone_number_id=settings.whatsapp_phone_number_id,
            token=settings.whatsapp_token.get_secret_value(),
            concurrency=settings.dispatch_concurrency,
        )
        return Dispatcher(
            self.database, self.clock, settings, client, worker_name(), rng=np.random.default_rng()
        )

    @cached_property
    def ending(self) -> threading.Event:
        """Set when this process is to end: whatever takes long then comes to its end early."""
        return threading.Event()

    @cached_property
    def leadership(self) -> Leadership:
        """Whether this process runs what must run once."""
        return Leadership(self.database, worker_name())

    @cached_property
    def books(self) -> Books:
        """Checks the books of all experiments, as often as the time allows."""
        return Books(self.database, self.clock)

    @cached_property
    def overviews(self) -> Overviews:
        """What goes on in delivery, counted now or a moment ago."""
        return Overviews()

    @cached_property
    def segments(self) -> SegmentReports:
        """Slices of reports, counted now or kept since they took long."""
        return SegmentReports()

    @cached_property
    def keyring(self) -> KeyRing:
        """Keys that this process has seen."""
        return KeyRing()

    @cached_property
    def _issuer(self) -> Issuer:
        settings = self.settings
        return Issuer(
            settings.oidc_issuer,
            settings.oidc_audience,
            self.clock,
            emails_verified=settings.oidc_emails_verified,
        )

    def issuer(self) -> Issuer:
        """Who vouches for people that sign in with an account; raises Conflict when nobody is set up to."""
        if not self.settings.oidc_issuer:
            raise Conflict(
                "signing in with an account is not set up here: set TOUCHSTONE_OIDC_ISSUER and TOUCHSTONE_OIDC_AUDIENCE "
                "where the API runs, or sign in with an API key"
            )
        return self._issuer

    @cached_property
    def tracking(self) -> GroupCommitter[Submission, Ingested]:
        """Writes tracking calls of many requests together."""
        secret = self.settings.erasure_secret.get_secret_value()
        return GroupCommitter(
            self.database, partial(store_submissions, clock=self.clock, erasure_secret=secret)
        )

    @cached_property
    def webhooks(self) -> GroupCommitter[bytes, None]:
        """Stores webhooks of many requests together."""
        return GroupCommitter(self.database, partial(store_webhooks, clock=self.clock))

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluates experiments for other people's software."""
        return Evaluator(self.settings.global_holdout, self.settings.erasure_secret.get_secret_value())

    @cached_property
    def exposed(self) -> Exposed:
        """Exposures that this process knows to be stored."""
        return Exposed()

    @cached_property
    def evaluations(self) -> GroupReader:
        """Evaluates for many requests together."""
        answer = partial(answer_inquiries, evaluator=self.evaluator, exposed=self.exposed, clock=self.clock)
        return GroupReader(self.database, answer)

    @cached_property
    def imports(self) -> BackgroundImports:
        """Imports that go on after their answer."""
        return BackgroundImports()

    @cached_property
    def payloads(self) -> PayloadShelf:
        """The payload for SDKs, ready to be sent."""
        return PayloadShelf()

    def close(self) -> None:
        """Write what waits, close every connection."""
        if "imports" in self.__dict__:
            self.ending.set()
            self.imports.close()
        for name in ("evaluations", "tracking", "webhooks"):
            if name in self.__dict__:
                self.__dict__[name].close()
        if "dispatcher" in self.__dict__:
            self.dispatcher.close()
        if "leadership" in self.__dict__:
            self.leadership.close()
        if isinstance(self.facts, ReplicaFacts | FactsCopy):
            self.facts.dispose()
        self.database.dispose()

    def prepare_database(self, *, create: bool = False) -> None:
        """Make sure of the newest schema; one that is behind is refused, since migrating it is its owner's decision.

        With `create` an empty database is migrated. Else there must be one: a new one made by asking in a wrong folder would
        answer that nobody and nothing is there.
        """
        # Even looking into a file of SQLite's would make it.
        current = None if is_missing(self.database) else migrations.current_revision(self.database)
        if current is None and not create:
            where = self.database.url.render_as_string()
            raise NotFound(f"there is no database at {where}; run `touchstone serve` or `touchstone migrate`")
        if current is None:
            migrations.upgrade(self.database)
        elif current != migrations.newest_revision(self.database):
            raise Conflict(f"the database is at revision {current}; run `touchstone migrate` first")


def worker_name() -> str:
    """Names this process in a claim: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"[:100]
