"""Each night: old rows go to the cold prefix, and older ones away."""

from airflow import DAG

from vitral_tasks import settings, vitral

with DAG("vitral_retencao", schedule="10 4 * * *", doc_md=__doc__, **settings()):
    vitral("retencao", "batch run retencao")
