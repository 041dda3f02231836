"""The gateway beside other servers of event streams: KafkaSSE, nchan, Mercure. `setup` gets them; see README.md."""
