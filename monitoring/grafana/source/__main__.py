"""`python -m monitoring.grafana.source`: write the dashboards' JSON."""

from monitoring.grafana.source.dashboards import write

write()
