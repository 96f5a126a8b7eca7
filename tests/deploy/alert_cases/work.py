"""When the alerts of work and cocoon fire, and when they stay quiet."""

from tests.deploy.promtool import Case, fires, quiet

CASES: dict[str, list[Case]] = {
    "WorkWaits": [
        fires({'lightyard_oldest_unit_age_seconds{capability="render"}': "0+60x30"}, "25m", capability="render"),
        quiet({'lightyard_oldest_unit_age_seconds{capability="render"}': "0+60x14 0+60x14"}, "25m"),
    ],
    "OutboxIsStuck": [
        fires({"lightyard_outbox_age_seconds": "0+60x10"}, "5m"),
        quiet({"lightyard_outbox_age_seconds": "0+60x1 0x10"}, "5m"),
    ],
    "NoHealthyNode": [
        fires({'lightyard_nodes{status="unhealthy"}': "3x10"}, "8m"),
        fires({}, "8m"),
        quiet({'lightyard_nodes{status="healthy"}': "1x10"}, "8m"),
        quiet({'lightyard_nodes{status="healthy"}': "1x2 _x2 1x10"}, "8m"),
    ],
    "FleetTooFewNodes": [
        fires(
            {
                'fleet_nodes_total{status="HEALTHY"}': "1x20",
                'fleet_nodes_total{status="UNHEALTHY"}': "5x20",
            },
            "12m", "1",
        ),
        quiet({'fleet_nodes_total{status="HEALTHY"}': "2x20"}, "12m"),
        quiet({'fleet_nodes_total{status="HEALTHY"}': "1x8 2x12"}, "12m"),
    ],
    "HighJobFailureRate": [
        fires(
            {
                'jobs_completed_total{job_type="render",status="completed"}': "0+1x30",
                'jobs_completed_total{job_type="render",status="failed"}': "0+1x30",
            },
            "25m", "50%",
        ),
        # one in ten, and many that their owners cancelled
        quiet(
            {
                'jobs_completed_total{job_type="render",status="completed"}': "0+9x30",
                'jobs_completed_total{job_type="render",status="failed"}': "0+1x30",
                'jobs_completed_total{job_type="render",status="cancelled"}': "0+90x30",
            },
            "25m",
        ),
        # a single job, and it failed
        quiet(
            {
                'jobs_completed_total{job_type="render",status="completed"}': "0x30",
                'jobs_completed_total{job_type="render",status="failed"}': "0x14 1x16",
            },
            "25m",
        ),
    ],
    "AttemptsAreLost": [
        fires(
            {
                'lightyard_attempts_total{outcome="completed"}': "0+1x40",
                'lightyard_attempts_total{outcome="lost"}': "0+1x40",
            },
            "30m", "50%",
        ),
        quiet(
            {
                'lightyard_attempts_total{outcome="completed"}': "0+99x40",
                'lightyard_attempts_total{outcome="lost"}': "0+1x40",
            },
            "30m",
        ),
        # two were lost, and nothing else ended
        quiet(
            {
                'lightyard_attempts_total{outcome="completed"}': "0x40",
                'lightyard_attempts_total{outcome="lost"}': "0x20 2x20",
            },
            "30m",
        ),
        # Valkey was emptied
        quiet(
            {
                'lightyard_attempts_total{outcome="completed"}': "90x20 0x20",
                'lightyard_attempts_total{outcome="lost"}': "90x20 0x20",
            },
            "30m",
        ),
    ],
    "AllSlotsBusy": [
        fires(
            {
                'lightyard_node_slots{node="a",state="busy"}': "2x60",
                'lightyard_node_slots{node="a",state="idle"}': "0x60",
                'lightyard_node_slots{node="old, tells no slots",state="busy"}': "0x60",
            },
            "45m", "100%",
        ),
        quiet(
            {
                'lightyard_node_slots{node="a",state="busy"}': "2x60",
                'lightyard_node_slots{node="a",state="idle"}': "2x60",
            },
            "45m",
        ),
    ],
    "NodeIsUnwell": [
        fires({'lightyard_node_up{node="a"}': "0x20", 'lightyard_node_up{node="b"}': "1x20"}, "15m", node="a"),
        quiet({'lightyard_node_up{node="a"}': "1x5 0x5 1x10"}, "15m"),
        quiet({'lightyard_node_up{node="a"}': "0x5 _x20"}, "15m"),  # it is gone for good
    ],
    "NodeGpuHot": [
        fires({'lightyard_gpu_temperature_celsius{node="a",gpu="1"}': "91x10"}, "8m", "91", node="a", gpu="1"),
        quiet({'lightyard_gpu_temperature_celsius{node="a",gpu="1"}': "85x10"}, "8m"),
        quiet({'lightyard_gpu_temperature_celsius{node="a",gpu="1"}': "91x3 80x10"}, "8m"),
    ],
    "NodeGpuMemoryFull": [
        fires(
            {
                'lightyard_gpu_memory_used_bytes{node="a",gpu="0"}': "99x30",
                'lightyard_gpu_memory_total_bytes{node="a",gpu="0"}': "100x30",
            },
            "20m", "99%", node="a", gpu="0",
        ),
        quiet(
            {
                'lightyard_gpu_memory_used_bytes{node="a",gpu="0"}': "60x30",
                'lightyard_gpu_memory_total_bytes{node="a",gpu="0"}': "100x30",
            },
            "20m",
        ),
        quiet({'lightyard_gpu_memory_used_bytes{node="a",gpu="0"}': "99x30"}, "20m"),  # its size is not known
    ],
    "WorkerPollsAreOverdue": [
        fires({"lightyard_worker_polls_overdue_seconds": "0x10 300x20"}, "15m"),
        quiet({"lightyard_worker_polls_overdue_seconds": "0x10 100x20"}, "15m"),
    ],
    "WorkerDown": [
        fires(
            {
                'cocoon_worker_status{worker_id="1",worker_name="w",participant_id="7"}': "1x5 0x20",
                'cocoon_worker_status{worker_id="2",worker_name="v",participant_id="7"}': "0.5x25",
            },
            "15m", worker_id="1", worker_name="w", participant_id="7",
        ),
        quiet({'cocoon_worker_status{worker_id="1",worker_name="w",participant_id="7"}': "1x5 0x4 1x20"}, "15m"),
    ],
    "WorkerGpuHot": [
        fires(
            {'cocoon_gpu_temperature_celsius{worker_id="1",worker_name="w",gpu_id="0"}': "90x20"},
            "8m", "90", worker_id="1", worker_name="w", gpu_id="0",
        ),
        quiet({'cocoon_gpu_temperature_celsius{worker_id="1",worker_name="w",gpu_id="0"}': "85x20"}, "8m"),
    ],
    "WorkerGpuIdle": [
        fires(
            {'cocoon_gpu_utilization{worker_id="1",worker_name="w",gpu_id="0"}': "10x110"},
            "100m", "10", worker_id="1", worker_name="w", gpu_id="0",
        ),
        quiet({'cocoon_gpu_utilization{worker_id="1",worker_name="w",gpu_id="0"}': "0x10 100x100"}, "60m"),
    ],
    "WorkerErrorRateHigh": [
        fires(
            {
                'cocoon_inference_requests_total{worker_id="1",worker_name="w"}': "0+10x60",
                'cocoon_inference_requests_failed_total{worker_id="1",worker_name="w"}': "0+2x60",
            },
            "30m", "20%", worker_id="1", worker_name="w",
        ),
        quiet(
            {
                'cocoon_inference_requests_total{worker_id="1",worker_name="w"}': "0+10x60",
                'cocoon_inference_requests_failed_total{worker_id="1",worker_name="w"}': "0+1x60",
            },
            "30m",
        ),
        # two of three in a quarter of an hour
        quiet(
            {
                'cocoon_inference_requests_total{worker_id="1",worker_name="w"}': "0x20 3x40",
                'cocoon_inference_requests_failed_total{worker_id="1",worker_name="w"}': "0x20 2x40",
            },
            "30m",
        ),
    ],
}
