"""GPU nodes and Cocoon's workers: who is there, how loaded, how hot."""

from grafana_foundation_sdk.models import units

from monitoring.grafana.source import variables
from monitoring.grafana.source.board import Board, Row
from monitoring.grafana.source.expressions import or_zero, shared, shared_rate, total
from monitoring.grafana.source.limits import NEUTRAL, above, below, look_above
from monitoring.grafana.source.panels import Panel, figure, lines, listing

NODE = 'node=~"$node"'
NAMED = f"* on(node) group_left(name) {shared('lightyard_node_info', 'node', 'name')}"
WORKER = ("worker_id", "worker_name")
GPU = (*WORKER, "gpu_id")


def board() -> Board:
    """The machines that do the work."""
    about = (
        "GPU nodes by their heartbeats, their GPUs by NVML, and Cocoon's workers. "
        "What a driver does not tell has no line: unknown is never 0."
    )
    rows = (Row("Now", now()), Row("Nodes", each()), Row("GPUs", gpus()), Row("Cocoon's workers", [*cocoon(), *beside_cocoon()]))
    return Board("nodes", "nodes and GPUs", about, rows, (variables.node(),))


def by_name(series: str, *labels: str) -> str:
    """A node's figure with the node's name beside it."""
    return f"{shared(f'{series}{{{NODE}}}', 'node', *labels)} {NAMED}"


def now() -> list[Panel]:
    """Six figures."""
    busy, slots = shared('lightyard_node_slots{state="busy"}', "node"), shared("lightyard_node_slots", "node", "state")
    return [
        figure(
            "Healthy",
            shared('lightyard_nodes{status="healthy"}'),
            "Nodes that were heard of lately, do not fail and take work.",
            unit=units.Short,
            limits=below(2, look=1),
            width=4,
            alerts=("NoHealthyNode", "FleetTooFewNodes"),
            absent="none",
        ),
        figure(
            "Unhealthy",
            or_zero(shared('lightyard_nodes{status="unhealthy"}')),
            "Nodes that fell silent, or failed three times in a row.",
            unit=units.Short,
            limits=look_above(1),
            width=4,
            alerts=("NodeIsUnwell",),
        ),
        figure(
            "Draining",
            or_zero(shared('lightyard_nodes{status="draining"}')),
            "Nodes that finish what they hold and take no more.",
            unit=units.Short,
            limits=NEUTRAL,
            width=4,
        ),
        figure(
            "Slots busy",
            f"sum({busy}) / sum({slots})",
            "Share of all slots that nodes report in which work is done.",
            unit=units.PercentUnit,
            limits=look_above(0.95),
            width=4,
            decimals=0,
            alerts=("AllSlotsBusy",),
        ),
        figure(
            "Hottest GPU",
            shared(f"lightyard_gpu_temperature_celsius{{{NODE}}}"),
            "The hottest of all that tell their temperature.",
            unit=units.Celsius,
            limits=above(85, look=80),
            width=4,
            absent="not told",
            alerts=("NodeGpuHot",),
        ),
        figure(
            "Not listed",
            shared("lightyard_nodes_unlisted"),
            "Nodes beyond the first 500, which are counted and not listed one by one.",
            unit=units.Short,
            limits=look_above(1),
            width=4,
        ),
    ]


def each() -> list[Panel]:
    """Node by node."""
    return [
        lines(
            "Nodes",
            {"{{status}}": shared("lightyard_nodes", "status")},
            "By how they are.",
            unit=units.Short,
            stacked=True,
            width=6,
            alerts=("NoHealthyNode",),
        ),
        lines(
            "Time since the last heartbeat",
            {"{{name}}": by_name("lightyard_node_heartbeat_age_seconds")},
            "A node that says nothing for 90 seconds is unhealthy.",
            unit=units.Seconds,
            limits=above(90, look=45),
            width=6,
        ),
        lines(
            "Slots",
            {"{{name}} {{state}}": by_name("lightyard_node_slots", "state")},
            "Attempts that it holds, and what is left.",
            unit=units.Short,
            stacked=True,
            width=6,
        ),
        listing(
            "Node by node",
            by_name("lightyard_node_up"),
            "1 is healthy, 0 is not. `lightyard nodes` says why.",
            unit=units.Short,
            limits=below(1),
            width=6,
            value="up",
            alerts=("NodeIsUnwell",),
        ),
    ]


def gpus() -> list[Panel]:
    """What NVML says."""
    used, whole = (
        by_name("lightyard_gpu_memory_used_bytes", "gpu"),
        shared(f"lightyard_gpu_memory_total_bytes{{{NODE}}}", "node", "gpu"),
    )
    return [
        lines(
            "Utilisation",
            {"{{name}} {{gpu}}": by_name("lightyard_gpu_utilization_percent", "gpu")},
            "Of each GPU. Much work waiting beside idle GPUs: nothing fits, or nodes can't reach the hub.",
            unit=units.Percent,
            most=100,
            width=6,
        ),
        lines(
            "Memory in use",
            {"{{name}} {{gpu}}": f"({used}) / on(node, gpu) group_left() {whole}"},
            "Share of each GPU's memory.",
            unit=units.PercentUnit,
            limits=look_above(0.97),
            most=1,
            width=6,
            alerts=("NodeGpuMemoryFull",),
        ),
        lines(
            "Temperature",
            {"{{name}} {{gpu}}": by_name("lightyard_gpu_temperature_celsius", "gpu")},
            "Of each GPU.",
            unit=units.Celsius,
            limits=above(85, look=80),
            width=6,
            alerts=("NodeGpuHot",),
        ),
        lines(
            "Power",
            {"{{name}} {{gpu}}": by_name("lightyard_gpu_power_watts", "gpu")},
            "What each GPU draws.",
            unit=units.Watt,
            width=6,
        ),
    ]


def cocoon() -> list[Panel]:
    """Workers that are polled; their figures come from /jsonstats, their GPUs' from a node on the same host."""
    return [
        listing(
            "Worker by worker",
            shared("cocoon_worker_status", *WORKER),
            "1 healthy, 0.7 warning, 0.5 degraded, 0 down; `GET /api/v1/workers/{id}` says why in status_reasons.",
            unit=units.Short,
            limits=below(1, look=0.5),
            width=6,
            value="status",
            alerts=("WorkerDown",),
        ),
        lines(
            "Requests",
            {
                "{{worker_name}}": shared_rate("cocoon_inference_requests_total", *WORKER),
                "{{worker_name}} failed": shared_rate("cocoon_inference_requests_failed_total", *WORKER),
            },
            "Inference requests a second, and those that failed.",
            unit=units.RequestsPerSecond,
            width=6,
            alerts=("WorkerErrorRateHigh",),
        ),
        lines(
            "Mean time of a request",
            {"{{worker_name}}": shared("cocoon_inference_latency_seconds", *WORKER)},
            "Of the requests that ended since the worker began.",
            unit=units.Seconds,
            width=6,
        ),
        lines(
            "Revenue",
            {"{{worker_name}}": shared("cocoon_revenue_ton", *WORKER)},
            "In TON: what is committed to the chain.",
            unit=units.Short,
            width=6,
        ),
    ]


def beside_cocoon() -> list[Panel]:
    """The GPUs beside those workers, and the polls."""
    return [
        lines(
            "GPU temperature",
            {"{{worker_name}} {{gpu_id}}": shared("cocoon_gpu_temperature_celsius", *GPU)},
            "Of the GPUs beside a worker, where one of our nodes runs on its host.",
            unit=units.Celsius,
            limits=look_above(85),
            width=6,
            alerts=("WorkerGpuHot",),
        ),
        lines(
            "GPU use",
            {"{{worker_name}} {{gpu_id}}": shared("cocoon_gpu_utilization", *GPU)},
            "Of the same GPUs.",
            unit=units.Percent,
            most=100,
            width=6,
            alerts=("WorkerGpuIdle",),
        ),
        lines(
            "Polls overdue",
            {"overdue": shared("lightyard_worker_polls_overdue_seconds")},
            "How long the worker that waits longest for its poll is overdue.",
            unit=units.Seconds,
            limits=above(120, look=30),
            width=6,
            alerts=("WorkerPollsAreOverdue",),
        ),
        lines(
            "Polls that went wrong, a minute",
            {"{{error_type}}": f"60 * {total(shared_rate('cocoon_worker_errors_total', *WORKER, 'error_type'), 'error_type')}"},
            "By what was wrong.",
            unit=units.Short,
            width=6,
        ),
    ]
