"""What all DAGs share: a task is one `vitral` command, retried, and reported when it fails.

Settings, as Airflow variables or environment (`AIRFLOW_VAR_VITRAL_COMMAND`, ...):

- `vitral_command`: the program and its flags, `vitral --data-dir /data/vitral --config /etc/vitral.toml`; `vitral` when unset.
- `vitral_alert_url`: where a failure is posted as JSON `{"text": ...}` (Slack, Teams, Mattermost, ...); nowhere when unset.

Which day a run is for is decided by the command, by the zone of its own configuration. When runs begin goes by the zone in the
environment variable `VITRAL__DOMAIN__TIME_ZONE` of Airflow (`VITRAL__SHOP__TIME_ZONE` is its earlier name), America/Sao_Paulo when unset.

A run by schedule, of a backfill, or that is started with a logical date is for the interval of that date; one that is started by hand
without is for yesterday. What a pause has left out needs no catching up: hourly runs are for all days that have changed since their last.
"""

import json
import os
import urllib.request
from datetime import timedelta

import pendulum
from airflow.timetables.interval import CronDataIntervalTimetable

try:
    from airflow.sdk import Variable
except ImportError:  # Airflow 2
    from airflow.models import Variable

try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:  # Airflow 2
    from airflow.operators.bash import BashOperator

SCHEDULE_ZONE = os.environ.get("VITRAL__DOMAIN__TIME_ZONE") or os.environ.get("VITRAL__SHOP__TIME_ZONE", "America/Sao_Paulo")
# The day that a run is for: vitral takes the one of the domain's zone that the interval begins in.
DAY = "{{ data_interval_start.isoformat() if data_interval_start is defined and data_interval_start else 'yesterday' }}"


def _setting(name: str) -> str:
    try:
        return Variable.get(name, "")
    except KeyError:
        return ""


def alert(context) -> None:
    """Posts which task failed, in which run, and where its log is."""
    url = _setting("vitral_alert_url")
    if not url:
        return
    task = context["task_instance"]
    # A run that was started by hand may have no date.
    run = context.get("logical_date") or context.get("run_id") or task.run_id
    text = f"Vitral: {task.dag_id}.{task.task_id} failed for {run}: {task.log_url}"
    request = urllib.request.Request(url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def settings(cron: str) -> dict:
    """Arguments of a DAG that runs at these times, each run for the time since the one before."""
    return {
        "schedule": CronDataIntervalTimetable(cron, timezone=SCHEDULE_ZONE),
        "start_date": pendulum.datetime(2025, 1, 1, tz=SCHEDULE_ZONE),
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["vitral"],
        "default_args": {
            "retries": 3,
            "retry_delay": timedelta(minutes=5),
            "retry_exponential_backoff": True,
            "execution_timeout": timedelta(hours=4),
            "on_failure_callback": alert,
        },
    }


def vitral(task: str, words: str, **arguments) -> BashOperator:
    """A task that runs `vitral` with these words."""
    command = "{{ var.value.get('vitral_command', 'vitral') }} " + words
    return BashOperator(task_id=task, bash_command=command, **arguments)
