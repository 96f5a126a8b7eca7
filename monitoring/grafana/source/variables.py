"""What can be chosen at the top of a dashboard, each with the query that lists its values."""

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableHide, VariableOption, VariableRefresh, VariableSort

from monitoring.grafana.source.datasource import CHOSEN, KIND, PROVISIONED_UID

ALL = VariableOption(selected=True, text=["All"], value=["$__all"])
LIST_OF_VALUES = 1  # Grafana's number for a label_values(…) query


def datasource() -> DatasourceVariable:
    """Which Prometheus; the provisioned one unless somebody chooses another."""
    current = VariableOption(selected=True, text="Prometheus", value=PROVISIONED_UID)
    return DatasourceVariable("datasource").label("Data source").type(KIND).current(current).hide(VariableHide.DONT_HIDE)


def label_values(name: str, label: str, series: str, text: str) -> QueryVariable:
    """Some or all of a label's values among `series`."""
    query: dict[str, object] = {"qryType": LIST_OF_VALUES, "query": f"label_values({series}, {label})", "refId": f"variable-{name}"}
    made = QueryVariable(name).label(text).query(query).datasource(CHOSEN).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    return made.sort(VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).current(ALL).hide(VariableHide.DONT_HIDE)
