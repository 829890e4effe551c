"""Event-driven tuning, evaluation, budget check, promotion and inference of generative models on Airflow and Vertex AI."""
