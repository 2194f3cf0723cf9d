"""Authlib as a client of the token service: every grant, three ways to authenticate, signatures by the key set."""

import os

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

ISSUER, AUDIENCE = os.environ["ISSUER"], os.environ["AUDIENCE"]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

metadata = AuthorizationServerMetadata(requests.get(f"{ISSUER}/.well-known/oauth-authorization-server").json())
for member in ["issuer", "token_endpoint", "jwks_uri", "revocation_endpoint", "introspection_endpoint"]:
    assert metadata[member].startswith(ISSUER), member
metadata.validate_jwks_uri() if ISSUER.startswith("https") else None
metadata.validate_scopes_supported()
metadata.validate_response_types_supported()
metadata.validate_grant_types_supported()
metadata.validate_token_endpoint_auth_methods_supported()
metadata.validate_token_endpoint_auth_signing_alg_values_supported()
metadata.validate_revocation_endpoint_auth_methods_supported()
metadata.validate_introspection_endpoint_auth_methods_supported()


def verified(token):
    """The claims, after the signature by the published keys and the claims' own rules."""
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"]).json())
    decoded = jwt.decode(token, keys, algorithms=["ES256"])
    assert decoded.header["typ"] == "at+jwt", decoded.header
    rules = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        sub={"essential": True},
        exp={"essential": True},
        jti={"essential": True},
    )
    rules.validate(decoded.claims)
    return decoded.claims


def refused(word, call):
    try:
        answer = call()
    except OAuthError as error:
        assert error.error == word, error
        return
    raise AssertionError(f"not refused as {word}: {answer}")


def walk(session):
    url = metadata["token_endpoint"]
    token = session.fetch_token(url, grant_type="client_credentials", scope="sync.read sync.write")
    first = dict(token)
    claims = verified(token["access_token"])
    assert claims["client_id"] == claims["sub"] == session.client_id
    assert claims["oa_sync_scopes"] == ["sync.read", "sync.write"], claims

    second = dict(session.refresh_token(url, refresh_token=first["refresh_token"]))
    assert second["refresh_token"] != first["refresh_token"]
    verified(second["access_token"])

    narrowed = session.fetch_token(
        url, grant_type=EXCHANGE, subject_token=second["access_token"], subject_token_type=ACCESS_TOKEN,
        scope="sync.read", oa_sync_streams="runtime.run.1.events",
    )
    claims = verified(narrowed["access_token"])
    assert claims["act"] == {"sub": session.client_id} and claims["oa_sync_scopes"] == ["sync.read"], claims
    refused("invalid_scope", lambda: session.fetch_token(
        url, grant_type=EXCHANGE, subject_token=narrowed["access_token"], subject_token_type=ACCESS_TOKEN, scope="sync.write",
    ))

    def active(text):
        return session.introspect_token(metadata["introspection_endpoint"], token=text).json()["active"]

    assert active(second["access_token"]) and active(second["refresh_token"]) and active(narrowed["access_token"])
    assert not active(first["refresh_token"]), "spent"
    revoked = session.revoke_token(metadata["revocation_endpoint"], token=second["refresh_token"])
    assert revoked.status_code == 200, revoked.text
    assert not active(second["access_token"]) and not active(narrowed["access_token"])
    refused("invalid_grant", lambda: session.refresh_token(url, refresh_token=second["refresh_token"]))
    refused("unsupported_grant_type", lambda: session.fetch_token(url, grant_type="password", username="u", password="p"))


for method in ["client_secret_basic", "client_secret_post"]:
    walk(OAuth2Session("by-secret", os.environ["CLIENT_SECRET"], token_endpoint_auth_method=method))
    print(method)
key = ECKey.import_key(os.environ["CLIENT_KEY"])
session = OAuth2Session(
    "by-key", key, token_endpoint_auth_method="private_key_jwt", revocation_endpoint_auth_method="private_key_jwt"
)
session.register_client_auth_method(PrivateKeyJWT(metadata["token_endpoint"], alg="ES256"))
walk(session)
print("private_key_jwt")
