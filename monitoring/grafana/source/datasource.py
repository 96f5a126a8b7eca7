"""Where the figures come from: one Prometheus, chosen at the top of each dashboard; provisioned under a fixed uid."""

from grafana_foundation_sdk.models.dashboard import DataSourceRef

KIND = "prometheus"
PROVISIONED_UID = "prometheus"  # as in provisioning/datasources/prometheus.yml
CHOSEN = DataSourceRef(type_val=KIND, uid="${datasource}")
