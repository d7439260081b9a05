"""Do metrics, alerts and dashboards tell the truth? Real conditions, real alerts, real queries."""
