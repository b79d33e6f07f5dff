"""What all DAGs share: a task is one `vitral` command, tried again, told of when it fails.

Settings, as Airflow variables or environment (`AIRFLOW_VAR_VITRAL_COMMAND`, ...):

- `vitral_command`: the program and its flags, `vitral --data-dir /data/vitral --config /etc/vitral.toml`; `vitral` when unset.
- `vitral_alert_url`: where a failure is posted as JSON `{"text": ...}` (Slack, Teams, Mattermost, ...); nowhere when unset.
"""

import json
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

# The shop's days begin at its midnight; runs come after the lateness of an hour.
SHOP_ZONE = "America/Sao_Paulo"
# The day that a daily run is for, in the shop's zone.
DAY = "{{ data_interval_start.in_timezone('" + SHOP_ZONE + "').to_date_string() }}"


def _setting(name: str) -> str:
    try:
        return Variable.get(name, "")
    except KeyError:
        return ""


def alert(context) -> None:
    """Posts which task failed, and where its log is."""
    url = _setting("vitral_alert_url")
    if not url:
        return
    task = context["task_instance"]
    text = f"Vitral: {task.dag_id}.{task.task_id} failed for {context['logical_date']}: {task.log_url}"
    request = urllib.request.Request(url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def settings(cron: str) -> dict:
    """Arguments of a DAG that runs at these times of the shop's zone, each run for the time since the one before."""
    return {
        "schedule": CronDataIntervalTimetable(cron, timezone=SHOP_ZONE),
        "start_date": pendulum.datetime(2025, 1, 1, tz=SHOP_ZONE),
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
