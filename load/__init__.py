"""Load: the traffic model, the open-loop generator on Locust, SLOs, and the judge."""
