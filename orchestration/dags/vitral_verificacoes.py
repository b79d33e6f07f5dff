"""Each morning: the checks of quality over the seven days before."""

from airflow import DAG

from vitral_tasks import DAY, SHOP_ZONE, settings, vitral

WEEK_BEFORE = "{{ (data_interval_start.in_timezone('" + SHOP_ZONE + "') - macros.timedelta(days=6)).to_date_string() }}"

with DAG("vitral_verificacoes", doc_md=__doc__, **settings("0 6 * * *")):
    vitral("verificacoes", f"batch run verificacoes --from {WEEK_BEFORE} --to {DAY}", retries=0)
