"""The dashboards as code: `make dashboards` writes them as JSON for Grafana. One file a dashboard; docs/dashboards.md."""
