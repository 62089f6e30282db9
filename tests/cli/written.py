"""How does an author write the strategy of the tests?"""

GOOD = """
canary:
  steps:
  - setWeight: 5
  - pause: {duration: 5m}
  - analysis: {templates: [errors]}
  - setWeight: 50
  - pause: {}
  - setWeight: 100
  - pause: {duration: 60s}
maxDuration: 24h
patience: 10m
noData: 1h
onFailure: rollback
metrics:
- {name: errors, interval: 5s, sequential: {event: errors, alpha: 0.004, oddsMargin: 1.5}, envoy: {}}
- name: slow
  threshold: {event: latency, quantile: 0.99, failureCondition: "> 800", failureLimit: 2}
  envoy: {}
- {name: mcp, interval: 1m, threshold: {failureCondition: "result[0] > 0.05"}, prometheus: {query: rate(x)}}
- {name: tried, sequential: {event: guardrail, alpha: 0.004}, envoy: {}, dryRun: true}
- {name: jailbreak, alert: {kind: jailbreak, severity: high}}
"""
