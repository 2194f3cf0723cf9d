"""Evidence as programs that nobody here wrote read it: securesystemslib (keys, DSSE), in-toto (its own reader of
envelopes), in-toto-attestation (statements, test results, verification summaries).

Takes a folder: `evidence/*.dsse.json`, `keys/*.pub`. Prints a line for each envelope; fails at the first thing that does not hold.
"""

import copy
import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from google.protobuf import json_format
from in_toto.models.metadata import Envelope as InTotoEnvelope
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

folder = Path(sys.argv[1])
keys = []
for path in sorted((folder / "keys").glob("*.pub")):
    public = load_pem_public_key(path.read_bytes())
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # This library wants a signature's keyid to be its key's; Muster's is the digest of the key, which anybody can compute.
    keys.append(SSlibKey.from_crypto(public, keyid=hashlib.sha256(der).hexdigest()))
assert len(keys) == 2, keys

for path in sorted((folder / "evidence").glob("*.dsse.json")):
    data = path.read_bytes()
    envelope = Envelope.from_dict(json.loads(data))
    signers = envelope.verify(keys, 1)
    assert len(signers) == 1
    assert envelope.payload_type == "application/vnd.in-toto+json"

    # in-toto's own reader of envelopes, with the key that the other one accepted.
    in_toto = InTotoEnvelope.from_dict(json.loads(data))
    key = next(iter(signers.values()))
    in_toto.verify_signature({"keyid": key.keyid, **key.to_dict()})

    # One byte of the payload, or of the signature, and it does not hold.
    for change in ("payload", "signature"):
        broken = copy.deepcopy(envelope)
        if change == "payload":
            broken.payload = broken.payload.replace(b"the-lane", b"the-lame")
            assert broken.payload != envelope.payload
        else:
            for signature in broken.signatures.values():
                signature.signature = signature.signature[:-2] + ("00" if signature.signature[-2:] != "00" else "01")
        try:
            broken.verify(keys, 1)
        except VerificationError:
            pass
        else:
            raise AssertionError(f"{path.name}: a changed {change} was accepted")

    # The statement, by the protocol buffers of its specification: fields that these do not know would be an error.
    statement = json_format.Parse(envelope.payload, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    assert statement.type == "https://in-toto.io/Statement/v1"
    assert len(statement.subject) == 1 and len(statement.subject[0].digest["sha256"]) == 64

    predicate = json.loads(envelope.payload)["predicate"]
    extensions = sorted(name for name in predicate if ":" in name)
    known = {name: value for name, value in predicate.items() if name not in extensions}
    if statement.predicate_type == "https://in-toto.io/attestation/test-result/v0.1":
        # Without Muster's own fields, every field is one of the specification's.
        result = json_format.ParseDict(known, test_result_pb2.TestResult())
        # With them, a reader that leaves out what it does not know reads the same.
        assert result == json_format.ParseDict(predicate, test_result_pb2.TestResult(), ignore_unknown_fields=True)
        assert result.result in ("PASSED", "WARNED", "FAILED")
        for descriptor in result.configuration:
            ResourceDescriptor.copy_from_pb(descriptor).validate()
            assert hashlib.sha256(descriptor.content).hexdigest() == descriptor.digest["sha256"]
        tests = (list(result.passed_tests), list(result.warned_tests), list(result.failed_tests))
        print(path.name[:6], "test-result", result.result, *("+".join(names) or "-" for names in tests), extensions)
    else:
        assert statement.predicate_type == "https://slsa.dev/verification_summary/v1"
        # slsa.dev has verifiedLevels as a list; this package's protocol buffer (0.9.3) has it as one string, so that
        # field alone is looked at here.
        levels = known.pop("verifiedLevels")
        assert isinstance(levels, list) and all(isinstance(level, str) for level in levels)
        summary = json_format.ParseDict(known, vsa_pb2.VerificationSummary())
        assert summary.verifier.id and summary.resource_uri and summary.time_verified.seconds
        assert summary.policy.uri and summary.policy.digest["sha256"]
        print(path.name[:6], "vsa", summary.verification_result, levels, extensions)
