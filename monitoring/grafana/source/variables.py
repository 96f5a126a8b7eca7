"""What can be chosen at the top of a dashboard, each with the query that lists its values."""

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableHide, VariableOption, VariableRefresh, VariableSort

from monitoring.grafana.source.datasource import CHOSEN, KIND, PROVISIONED_UID

LIST_OF_VALUES = 1  # Grafana's number for a label_values(…) query


def datasource() -> DatasourceVariable:
    """Which Prometheus; the provisioned one unless somebody chooses another."""
    current = VariableOption(selected=True, text="Prometheus", value=PROVISIONED_UID)
    return DatasourceVariable("datasource").label("Data source").type(KIND).current(current).hide(VariableHide.DONT_HIDE)


def instance() -> QueryVariable:
    """Addresses that are scraped as the hub's."""
    return _label_values("instance", "lightyard_build_info", "Instance")


def dialect() -> QueryVariable:
    """The APIs that were asked anything."""
    return _label_values("dialect", "lightyard_dialect_requests_total", "API")


def queue() -> QueryVariable:
    """Queues at the broker."""
    return _label_values("queue", "lightyard_queue_depth", "Queue")


def capability() -> QueryVariable:
    """What work units want of a node."""
    return _label_values("capability", "lightyard_units", "Capability")


def node() -> QueryVariable:
    """Nodes that are listed one by one, by their ids."""
    return _label_values("node", "lightyard_node_info", "Node")


def chain() -> QueryVariable:
    """Chains that are configured."""
    return _label_values("chain", "lightyard_chain_up", "Chain")


def asset() -> QueryVariable:
    """Assets that the ledger knows."""
    return _label_values("asset", "lightyard_ledger_balance", "Asset")


def _label_values(label: str, family: str, text: str) -> QueryVariable:
    """Some or all of a label's values; all of them also while there is none."""
    query: dict[str, object] = {
        "qryType": LIST_OF_VALUES,
        "query": f"label_values({family}, {label})",
        "refId": f"variable-{label}",
    }
    made = QueryVariable(label).label(text).query(query).datasource(CHOSEN).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    made.sort(VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).all_value(".*").hide(VariableHide.DONT_HIDE)
    return made.current(VariableOption(selected=True, text=["All"], value=["$__all"]))
