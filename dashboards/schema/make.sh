#!/bin/sh
# Makes the JSON schemas beside it from the types that Grafana publishes (npm package @grafana/schema, Apache-2.0). Needs Node 20 and npm; no test
# runs it. The generator refuses properties that a type does not have, so a misspelt one is found.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @grafana/schema@13.2.3 ts-json-schema-generator@2.4.0
types=node_modules/@grafana/schema/dist/types/raw
schema() { node node_modules/ts-json-schema-generator/bin/ts-json-schema-generator.js --no-type-check --type "$1" --path "$2" --out "$here/$3.json"; }
schema Dashboard $types/dashboard/x/types.gen.d.ts dashboard
for panel in timeseries stat table heatmap statetimeline statushistory bargauge text; do
  schema '*' $types/composable/$panel/panelcfg/x/types.gen.d.ts $panel
done
