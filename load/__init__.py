"""The traffic model, the open-loop generator on Locust, SLOs, and the judge.

`locustfile` is loaded by Locust in a process of its own: gevent patches whatever imports it. No
other module here imports locust or gevent, so that the gate can read what a run left behind.
"""
