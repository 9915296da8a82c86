// The boards, rules and alerts for those who install with Jsonnet: `jb install`, then import this file. The files themselves are the truth.
local yaml(text) = std.parseYaml(text);
local alerts = yaml(importstr 'prometheus/alerts.yaml');
{
  _config+:: {
    // Put before the paths of runbooks and boards in alerts.
    runbookURL: '',
    grafanaURL: '',
  },
  grafanaDashboards+:: {
    'golden-signals-fleet.json': import 'grafana/fleet.json',
    'golden-signals-service.json': import 'grafana/service.json',
    'golden-signals-explain.json': import 'grafana/explain.json',
    'golden-signals-slo.json': import 'grafana/slo.json',
    'golden-signals-overrides.json': import 'grafana/overrides.json',
    'golden-signals-router.json': import 'grafana/router.json',
    'golden-signals-pipeline.json': import 'grafana/pipeline.json',
  },
  prometheusRules+:: {
    groups: yaml(importstr 'prometheus/rules.yaml').groups + yaml(importstr 'prometheus/slo.yaml').groups,
  },
  prometheusAlerts+:: {
    groups: [
      group {
        rules: [
          if std.objectHas(rule, 'alert') then rule {
            annotations+: {
              runbook_url: $._config.runbookURL + super.runbook_url,
              dashboard_url: $._config.grafanaURL + super.dashboard_url,
            },
          } else rule
          for rule in group.rules
        ],
      }
      for group in alerts.groups
    ],
  },
}
