// Evaluates with the stock JavaScript SDK of GrowthBook. Reads one JSON document from stdin, writes one to stdout:
//   {"payload": {..}, "people": [{..attributes}], "keys": [..]}             a payload, evaluated for people
//   {"apiHost": "..", "clientKey": "..", "people": [..], "keys": [..]}      the same, loaded from a server
// The answer: for each of the people, for each of the keys, {"value": .., "inExperiment": ..}.
const { GrowthBook } = require(process.argv[2]);

async function main() {
  const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const sdk = new GrowthBook({ apiHost: asked.apiHost, clientKey: asked.clientKey, trackingCallback: () => {} });
  const loaded = await sdk.init(asked.payload ? { payload: asked.payload } : { timeout: 10000 });
  const answers = [];
  for (const attributes of asked.people) {
    await sdk.setAttributes(attributes);
    answers.push(
      asked.keys.map((key) => {
        const result = sdk.evalFeature(key);
        return { value: result.value, inExperiment: Boolean(result.experimentResult?.inExperiment) };
      }),
    );
  }
  sdk.destroy();
  process.stdout.write(JSON.stringify({ source: loaded.source, answers }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
