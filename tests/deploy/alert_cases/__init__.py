"""What each alert does: when it fires, and when it stays quiet. `tests/deploy/promtool.py` makes Prometheus' own tests of this.

To each alert three quiet cases come by themselves: nothing is told at all, it has not lasted yet, and (what all addresses tell
alike) two addresses are one alarm. Values are promtool's: `1x10` is ten times 1 more, `0+5x10` grows by 5.
"""

from tests.deploy.alert_cases import money, processes, traffic, work

CASES = money.CASES | processes.CASES | traffic.CASES | work.CASES
# Whose expression makes something of nothing.
FIRE_WITHOUT_SERIES = {"NothingIsScraped", "NoHealthyNode", "NoWebSocketConnections", "BackupIsMissing"}
# Those of one target, or of what each address counts for itself: two of them are two, or more than one.
OF_EACH_ADDRESS = {
    "TargetIsDown", "NothingIsScraped", "DiskFills", "MemoryRunsOut", "SocketsAreCutOff", "HighErrorRate",
    "NoWebSocketConnections", "ErrorBudgetBurnsFast", "ErrorBudgetBurns", "BrokerIsBlocked", "RedisFills",
    "AlertsAreNotDelivered",
}
