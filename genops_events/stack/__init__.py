"""Start a real Airflow and the stand-ins on this machine, supervise them, and leave nothing behind."""
