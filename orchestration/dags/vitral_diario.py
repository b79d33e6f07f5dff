"""The day before, of the shop's zone, once no event of it can count any more: clean, aggregate into the warehouse, check."""

from airflow import DAG

from vitral_tasks import DAY, settings, vitral

with DAG("vitral_diario", doc_md=__doc__, **settings("30 2 * * *")):
    # A stream that is behind is waited for.
    clean = vitral("limpeza", f"batch run limpeza --date {DAY} --wait")
    tables = [
        vitral(job, f"batch run {job} --date {DAY} --wait")
        for job in [
            "vendas_por_regiao",
            "vendas_por_categoria",
            "receita_mensal",
            "mais_vendidos",
            "receita_por_segmento",
            "reembolsos_por_dia",
            "conversao",
        ]
    ]
    # Of the whole history, whatever the day.
    whole = [
        vitral(job, f"batch run {job}")
        for job in ["novos_e_recorrentes", "rfm", "coortes", "usuarios_ativos_por_dia", "giro_estoque"]
    ]
    # What a check finds does not go away by trying again.
    checks = vitral("verificacoes", f"batch run verificacoes --date {DAY}", retries=0)
    clean >> tables >> checks
    clean >> whole
