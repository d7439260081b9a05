"""What is deployed and how: compose.yaml, a folder a service, bring-up, the machine it runs on."""
