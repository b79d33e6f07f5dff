"""Each night: every number of the day before, recomputed from the archive and compared."""

from airflow import DAG

from vitral_tasks import DAY, settings, vitral

with DAG("vitral_reconciliacao", doc_md=__doc__, **settings("50 3 * * *")):
    # What differs does not go away by trying again. Exit 4 says that the day has nothing to compare: the task is shown as skipped.
    vitral("reconcile", f"reconcile --date {DAY}", retries=0, skip_on_exit_code=4)
