"""Superset as it is installed, with what it keeps in SUPERSET_HOME, for one run. Nothing is cached: each chart asks the endpoint."""

import os

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
# Pages are asked for by plain HTTP on this machine.
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
