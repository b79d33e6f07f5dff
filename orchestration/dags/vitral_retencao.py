"""Each Sunday: old rows of the archives become cold, those that are too old are deleted."""

from airflow import DAG

from vitral_tasks import settings, vitral

with DAG("vitral_retencao", doc_md=__doc__, **settings("10 4 * * 0")):
    vitral("retencao", "batch run retencao")
