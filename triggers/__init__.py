"""Airflow triggers of genops-events: installed as a package of their own, since Airflow stores their class paths."""
