"""Each morning: the checks of quality over the seven days before."""

from airflow import DAG

from vitral_tasks import DAY, settings, vitral

with DAG("vitral_verificacoes", doc_md=__doc__, **settings("0 6 * * *")):
    vitral("verificacoes", f"batch run verificacoes --date {DAY} --days 7", retries=0)
