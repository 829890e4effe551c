"""Ask Airflow over its REST API; no import of Airflow's own code."""
