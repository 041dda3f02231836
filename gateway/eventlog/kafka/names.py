"""The keys of `kafka:`, and what other clients call them. Pure.

The names are those of aiokafka, which is the client. Programs in Java or with librdkafka have others.
"""

from __future__ import annotations

from gateway.catalog.document import did_you_mean

TEXTS = {
    "client_id": "name that the brokers log, and set quotas by (`event-gateway`)",
    "security_protocol": "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`",
    "sasl_mechanism": "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` or `AWS_MSK_IAM`",
    "sasl_plain_username": "user, of `PLAIN` and both `SCRAM`",
    "sasl_plain_password": "password, of `PLAIN` and both `SCRAM`",
    "sasl_oauth_token_file": "file with a token, read again for each connection",
    "sasl_oauth_token_command": "command that writes a token to its output (a list of words)",
    "sasl_oauth_token_url": "token endpoint that gives tokens for client credentials (OAuth 2.0, OIDC)",
    "sasl_oauth_client_id": "client at the token endpoint",
    "sasl_oauth_client_secret": "secret of the client",
    "sasl_oauth_scope": "scope to ask for",
    "sasl_oauth_extensions": "SASL extensions by name, such as `logicalCluster`",
    "sasl_aws_region": "region of `AWS_MSK_IAM`",
    "ssl_cafile": "file of certificates (PEM) to trust, instead of the system's",
    "ssl_capath": "directory of such certificates, under the names of their hashes",
    "ssl_cadata": "such certificates themselves (PEM)",
    "ssl_certfile": "file with the client's certificate (PEM)",
    "ssl_keyfile": "file with the key of the client's certificate (PEM)",
    "ssl_password": "password of that key",
    "ssl_check_hostname": "`false` accepts a certificate of another name",
    "connections_max_idle_ms": "milliseconds after which an unused connection is closed (540000)",
}
"""Every key and its meaning, for the documents."""

SIGNER = "aws_msk_iam_sasl_signer"
"""What signs tokens for Kafka on AWS."""
NO_SIGNER = "AWS_MSK_IAM needs a library: pip install 'event-gateway[msk]'"

SECRETS = ("sasl_plain_password", "sasl_oauth_client_secret", "ssl_password")
"""The keys whose values no message may show."""

OURS = {
    "acks": "every append waits for all replicas in sync",
    "api_version": "it agrees on one with each broker",
    "auto_offset_reset": "each client has a position of its own",
    "client_rack": "it reads from the leaders",
    "compression_type": "it stores what it is sent as it is",
    "enable_auto_commit": "it uses no consumer group",
    "enable_idempotence": "it numbers its batches always",
    "exclude_internal_topics": "it reads the topics of the streams",
    "fetch_max_bytes": "its requests have bounds of their own",
    "fetch_max_wait_ms": "its requests have bounds of their own",
    "fetch_min_bytes": "its requests have bounds of their own",
    "group_id": "it uses no consumer group to read",
    "heartbeat_interval_ms": "it uses no consumer group to read",
    "isolation_level": "it reads committed records only",
    "linger_ms": "it appends together what arrives together",
    "max_batch_size": "intake_max_bytes is the bound",
    "max_partition_fetch_bytes": "its requests have bounds of their own",
    "max_poll_interval_ms": "it uses no consumer group to read",
    "max_poll_records": "it uses no consumer group to read",
    "max_request_size": "intake_event_max_bytes is the bound",
    "metadata_max_age_ms": "metadata_interval says when it looks for changes",
    "request_timeout_ms": "each call has a deadline of the gateway's own",
    "retry_backoff_ms": "each call has a deadline of the gateway's own",
    "session_timeout_ms": "it uses no consumer group to read",
    "transaction_timeout_ms": "it sets the bound itself",
    "transactional_id": "it chooses one for each writer",
}
"""Keys of the client that change nothing, since the gateway does that part itself; and what it does. They are accepted,
with a warning."""

_KERBEROS = "Kerberos is not supported; use SCRAM, OAUTHBEARER or client certificates"
_PEM = (
    "a Java keystore cannot be read; export it as PEM (keytool -exportcert -rfc, or openssl pkcs12) and name it with "
)
_ELSEWHERE = {
    "bootstrap_servers": "the brokers stand in the setting log: kafka://host:port,host:port",
    "metadata_broker_list": "the brokers stand in the setting log: kafka://host:port,host:port",
    "brokers": "the brokers stand in the setting log: kafka://host:port,host:port",
    "schema_registry_url": "the registry is a setting of its own: schema_registry: {url: …}",
    "sasl_jaas_config": "write its parts: sasl_plain_username and sasl_plain_password",
    "sasl_login_callback_handler_class": "write sasl_oauth_token_url, sasl_oauth_token_command or sasl_mechanism: "
    "AWS_MSK_IAM",
    "sasl_client_callback_handler_class": "write sasl_mechanism alone",
    "sasl_oauth_token_provider": "that is an object of Python; write sasl_oauth_token_url, sasl_oauth_token_command or "
    "sasl_oauth_token_file",
    "sasl_oauthbearer_method": "write sasl_oauth_token_url",
    "sasl_oauthbearer_config": "write sasl_oauth_token_url, sasl_oauth_client_id and sasl_oauth_client_secret",
    "ssl_context": "that is an object of Python; write ssl_cafile, ssl_certfile and ssl_keyfile",
    "ssl_truststore_location": _PEM + "ssl_cafile",
    "ssl_truststore_password": "a file of certificates (PEM) has no password; name it with ssl_cafile",
    "ssl_truststore_type": "certificates are read as PEM; name the file with ssl_cafile",
    "ssl_truststore_certificates": "write ssl_cadata",
    "ssl_keystore_location": _PEM + "ssl_certfile and ssl_keyfile",
    "ssl_keystore_password": "write ssl_password, the password of the key (PEM)",
    "ssl_keystore_type": "certificates are read as PEM; name the files with ssl_certfile and ssl_keyfile",
    "ssl_endpoint_identification_algorithm": "write ssl_check_hostname: false where it is empty, and nothing otherwise",
    "enable_ssl_certificate_verification": "certificates are always verified; name the authority with ssl_cafile",
    "sasl_kerberos_service_name": _KERBEROS,
    "sasl_kerberos_domain_name": _KERBEROS,
    "sasl_kerberos_principal": _KERBEROS,
    "sasl_kerberos_keytab": _KERBEROS,
}
"""What has no key here, and what is done instead."""

_NAMES = {
    "sasl_username": "sasl_plain_username",
    "sasl_user": "sasl_plain_username",
    "username": "sasl_plain_username",
    "sasl_password": "sasl_plain_password",
    "password": "sasl_plain_password",
    "sasl_mechanisms": "sasl_mechanism",
    "sasl_oauthbearer_token_endpoint_url": "sasl_oauth_token_url",
    "sasl_oauthbearer_client_id": "sasl_oauth_client_id",
    "sasl_oauthbearer_client_secret": "sasl_oauth_client_secret",
    "sasl_oauthbearer_client_credentials_client_id": "sasl_oauth_client_id",
    "sasl_oauthbearer_client_credentials_client_secret": "sasl_oauth_client_secret",
    "sasl_oauthbearer_scope": "sasl_oauth_scope",
    "sasl_oauthbearer_extensions": "sasl_oauth_extensions",
    "ssl_ca_location": "ssl_cafile",
    "ssl_ca_pem": "ssl_cadata",
    "ssl_ca": "ssl_cafile",
    "ca_file": "ssl_cafile",
    "ssl_certificate_location": "ssl_certfile",
    "ssl_key_location": "ssl_keyfile",
    "ssl_key_password": "ssl_password",
    "tls_ca_file": "ssl_cafile",
}
"""Other clients' names of our keys."""


def plain_name(key: str) -> str:
    """A key with underscores, in small letters."""
    return key.lower().replace(".", "_").replace("-", "_").strip()


def wrong_name(key: str) -> str | None:
    """What to write instead of a key that there is not; None where the key is right, or accepted."""
    if key in TEXTS or key in OURS:
        return None
    name = plain_name(key)
    if name in TEXTS:
        return f"write {name}"
    if name in OURS:
        return f"remove it: {OURS[name]}"
    if name in _NAMES:
        return f"write {_NAMES[name]}"
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    if name.startswith("sasl_kerberos"):
        return _KERBEROS
    close = did_you_mean(name, [*TEXTS, *OURS, *_NAMES]).removeprefix("; ")
    return close or f"it takes {', '.join(TEXTS)}"
