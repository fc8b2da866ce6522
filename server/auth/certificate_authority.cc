#include "server/auth/certificate_authority.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/auth/x509.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/file_lock.h"

namespace om {
namespace {

constexpr size_t kMaxIndexBytes = 16 << 20;
constexpr size_t kMaxAddresses = 32;
constexpr size_t kMaxShown = 80;
constexpr absl::Duration kMinLifetime = absl::Minutes(1);
constexpr absl::Duration kMaxLifetime = absl::Hours(24 * 3660);
constexpr Duration kLockPatience = std::chrono::seconds(10);

using TimePtr = std::unique_ptr<ASN1_TIME, OpensslFree<ASN1_TIME_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, OpensslFree<ASN1_INTEGER_free>>;

struct ReasonRow {
  RevocationReason reason;
  const char* name;
  int64_t code;  // RFC 5280, 5.3.1.
};
constexpr ReasonRow kReasons[] = {{RevocationReason::kUnspecified, "unspecified", 0},
                                  {RevocationReason::kKeyCompromise, "key_compromise", 1},
                                  {RevocationReason::kSuperseded, "superseded", 4},
                                  {RevocationReason::kCessationOfOperation, "cessation", 5}};

const ReasonRow& RowOf(RevocationReason reason) {
  for (const ReasonRow& row : kReasons) {
    if (row.reason == reason) return row;
  }
  return kReasons[0];
}

TimePtr Asn1Time(absl::Time time) { return TimePtr(ASN1_TIME_set(nullptr, absl::ToTimeT(time))); }

IntegerPtr Asn1Serial(const std::string& hex) {
  BIGNUM* raw = nullptr;
  BN_hex2bn(&raw, hex.c_str());
  const std::unique_ptr<BIGNUM, OpensslFree<BN_free>> number(raw);
  return IntegerPtr(number == nullptr ? nullptr : BN_to_ASN1_INTEGER(number.get(), nullptr));
}

absl::StatusOr<KeyPtr> NewKey() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpensslError("making a key");
  return key;
}

// `value` is made of checked names only: it is read in OpenSSL's configuration dialect.
absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>> extension(
      X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpensslError(absl::StrCat("adding ", OBJ_nid2sn(nid)));
  }
  return absl::OkStatus();
}

absl::Status FillCertificate(X509* certificate, const std::string& serial, const std::string& name,
                             absl::Time from, absl::Time to, EVP_PKEY* key) {
  const IntegerPtr number = Asn1Serial(serial);
  const TimePtr not_before = Asn1Time(from);
  const TimePtr not_after = Asn1Time(to);
  if (number == nullptr || X509_set_version(certificate, X509_VERSION_3) != 1 ||
      X509_set_serialNumber(certificate, number.get()) != 1 ||
      X509_set1_notBefore(certificate, not_before.get()) != 1 ||
      X509_set1_notAfter(certificate, not_after.get()) != 1 ||
      X509_set_pubkey(certificate, key) != 1 ||
      X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0) != 1) {
    return OpensslError("filling a certificate");
  }
  return absl::OkStatus();
}

absl::Status CheckName(absl::string_view what, absl::string_view name) {
  if (IsCertificateName(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " \"", absl::CHexEscape(name.substr(0, kMaxShown)),
                   "\" is not 1 to 63 of [A-Za-z0-9._-], the first a letter or a digit"));
}

// The alternative names in OpenSSL's dialect.
absl::StatusOr<std::string> AlternativeNames(const IssueRequest& request) {
  RETURN_IF_ERROR(
      CheckName(absl::StrCat(CertificateKindName(request.kind), " name"), request.name));
  std::string names = absl::StrCat("URI:om:", CertificateKindName(request.kind), ":", request.name);
  if (request.kind == CertificateKind::kUser) {
    if (request.addresses.empty()) return names;
    return absl::InvalidArgumentError("a user's certificate has no addresses");
  }
  if (request.addresses.size() > kMaxAddresses) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.addresses.size(), " addresses; expected at most ", kMaxAddresses));
  }
  absl::StrAppend(&names, ",DNS:", request.name);
  for (const std::string& address : request.addresses) {
    unsigned char binary[sizeof(in6_addr)];
    if (inet_pton(AF_INET, address.c_str(), binary) == 1 ||
        inet_pton(AF_INET6, address.c_str(), binary) == 1) {
      absl::StrAppend(&names, ",IP:", address);
    } else {
      RETURN_IF_ERROR(CheckName("address", address));
      absl::StrAppend(&names, ",DNS:", address);
    }
  }
  return names;
}

absl::StatusOr<CertificateRecord> RecordOf(X509* certificate) {
  ASSIGN_OR_RETURN(const CertificateIdentity identity, IdentityOf(certificate));
  CertificateRecord record;
  record.kind = identity.kind;
  record.name = identity.name;
  record.serial = identity.serial;
  record.fingerprint = identity.fingerprint;
  record.not_before = identity.not_before;
  record.not_after = identity.not_after;
  return record;
}

Json ToJson(const CertificateRecord& record) {
  Json row = {{"kind", std::string(CertificateKindName(record.kind))},
              {"name", record.name},
              {"serial", record.serial},
              {"fingerprint", record.fingerprint},
              {"not_before", absl::ToUnixSeconds(record.not_before)},
              {"not_after", absl::ToUnixSeconds(record.not_after)}};
  if (record.revoke_time.has_value()) {
    row["revoke_time"] = absl::ToUnixSeconds(*record.revoke_time);
    row["reason"] = RowOf(record.reason).name;
  }
  return row;
}

std::optional<CertificateRecord> FromJson(const Json& row) {
  if (!row.is_object()) return std::nullopt;
  const auto text = [&](const char* key) -> std::string {
    const auto it = row.find(key);
    return it != row.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  const auto time = [&](const char* key) -> std::optional<absl::Time> {
    const auto it = row.find(key);
    if (it == row.end() || !it->is_number_integer()) return std::nullopt;
    return absl::FromUnixSeconds(it->get<int64_t>());
  };
  CertificateRecord record;
  const std::string kind = text("kind");
  if (kind != "node" && kind != "user") return std::nullopt;
  record.kind = kind == "node" ? CertificateKind::kNode : CertificateKind::kUser;
  record.name = text("name");
  record.serial = text("serial");
  record.fingerprint = text("fingerprint");
  const std::optional<absl::Time> not_before = time("not_before");
  const std::optional<absl::Time> not_after = time("not_after");
  // Serials become file names.
  const bool hex = !record.serial.empty() && record.serial.size() <= 40 &&
                   std::all_of(record.serial.begin(), record.serial.end(), [](char c) {
                     return absl::ascii_isxdigit(static_cast<unsigned char>(c));
                   });
  if (!hex || !IsCertificateName(record.name) || !not_before.has_value() ||
      !not_after.has_value()) {
    return std::nullopt;
  }
  record.not_before = *not_before;
  record.not_after = *not_after;
  if (row.contains("revoke_time")) {
    record.revoke_time = time("revoke_time");
    if (!record.revoke_time.has_value()) return std::nullopt;
    for (const ReasonRow& reason : kReasons) {
      if (text("reason") == reason.name) record.reason = reason.reason;
    }
  }
  return record;
}

}  // namespace

struct CertificateAuthority::Opened {
  FileLock lock;
  CertificatePtr certificate;
  KeyPtr key;
  int64_t crl_number = 0;
  std::vector<CertificateRecord> records;

  absl::StatusOr<CertificateRecord*> Find(absl::string_view serial) {
    for (CertificateRecord& record : records) {
      if (record.serial == serial) return &record;
    }
    return absl::NotFoundError(absl::StrCat("no certificate with the serial \"",
                                            absl::CHexEscape(serial.substr(0, kMaxShown)),
                                            "\" was issued here"));
  }
};

CertificateAuthority::CertificateAuthority(std::string dir, const Clock* clock,
                                           SecureRandom* random)
    : dir_(std::move(dir)), clock_(clock), random_(random) {}

std::string CertificateAuthority::File(absl::string_view name) const {
  return absl::StrCat(dir_, "/", name);
}
std::string CertificateAuthority::CertificateFile() const { return File("ca.crt"); }
std::string CertificateAuthority::CrlFile() const { return File("crl.pem"); }

std::string CertificateAuthority::NewSerial() const {
  std::string bytes = random_->Bytes(16);
  // Positive, and never with zeros in front.
  bytes[0] = static_cast<char>((bytes[0] & 0x3f) | 0x40);
  return absl::BytesToHexString(bytes);
}

absl::Status CertificateAuthority::Init(absl::string_view cluster, absl::Duration lifetime) {
  RETURN_IF_ERROR(CheckName("cluster name", cluster));
  if (lifetime < kMinLifetime || lifetime > kMaxLifetime) {
    return absl::InvalidArgumentError(absl::StrCat("a lifetime of ", absl::FormatDuration(lifetime),
                                                   " is not ", absl::FormatDuration(kMinLifetime),
                                                   " to ", absl::FormatDuration(kMaxLifetime)));
  }
  RETURN_IF_ERROR(MakeDirectories(dir_, 0700));
  ASSIGN_OR_RETURN(FileLock lock, FileLock::Acquire(File("lock"), kLockPatience));
  if (ModificationTime(CertificateFile()).ok()) {
    return absl::AlreadyExistsError(absl::StrCat(dir_, " already holds a certificate authority"));
  }
  ASSIGN_OR_RETURN(KeyPtr key, NewKey());
  CertificatePtr certificate(X509_new());
  if (certificate == nullptr) return OpensslError("making a certificate");
  const absl::Time now = clock_->Now();
  // At most 64 bytes fit into a common name, so the cluster's name goes without a title.
  RETURN_IF_ERROR(FillCertificate(certificate.get(), NewSerial(), std::string(cluster),
                                  now - kBackdate, now + lifetime, key.get()));
  const char* const unit = "om certificate authority";
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  if (X509_NAME_add_entry_by_txt(subject, "OU", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(unit), -1, -1, 0) != 1 ||
      X509_set_issuer_name(certificate.get(), subject) != 1) {
    return OpensslError("naming the authority");
  }
  X509* const self = certificate.get();
  RETURN_IF_ERROR(AddExtension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  RETURN_IF_ERROR(AddExtension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(AddExtension(self, self, NID_subject_key_identifier, "hash"));
  if (X509_sign(self, key.get(), EVP_sha256()) == 0) return OpensslError("signing the authority");
  RETURN_IF_ERROR(WriteFileAtomically(File("ca.key"), ToPem(key.get()), {}));
  Opened opened = {std::move(lock), std::move(certificate), std::move(key), 0, {}};
  RETURN_IF_ERROR(WriteCrl(&opened));
  // Last: with it the authority exists.
  return WriteFileAtomically(CertificateFile(), ToPem(opened.certificate.get()), {.mode = 0644});
}

absl::StatusOr<CertificateAuthority::Opened> CertificateAuthority::Open() const {
  if (!ModificationTime(CertificateFile()).ok()) {
    return absl::NotFoundError(absl::StrCat(dir_, " holds no certificate authority"));
  }
  ASSIGN_OR_RETURN(FileLock lock, FileLock::Acquire(File("lock"), kLockPatience));
  ASSIGN_OR_RETURN(const FileContent certificate, ReadFile(CertificateFile(), kMaxPemBytes));
  ASSIGN_OR_RETURN(const FileContent key, ReadFile(File("ca.key"), kMaxPemBytes));
  struct stat info = {};
  if (stat(File("ca.key").c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(File("ca.key"), " has mode ",
                                                      absl::StrFormat("%04o", info.st_mode & 07777),
                                                      "; expected 0600"));
  }
  Opened opened = {std::move(lock), nullptr, nullptr, 0, {}};
  ASSIGN_OR_RETURN(opened.certificate, ParseCertificatePem(certificate.text, CertificateFile()));
  ASSIGN_OR_RETURN(opened.key, ParseKeyPem(key.text, File("ca.key")));
  if (X509_check_private_key(opened.certificate.get(), opened.key.get()) != 1) {
    return absl::FailedPreconditionError(
        absl::StrCat(File("ca.key"), " is not the key of ", CertificateFile()));
  }
  ASSIGN_OR_RETURN(const FileContent index, ReadFile(File("index.json"), kMaxIndexBytes));
  absl::StatusOr<Json> json = ParseJson(index.text, 4);
  if (!json.ok()) return Annotate(json.status(), File("index.json"));
  const absl::Status bad = absl::FailedPreconditionError(
      absl::StrCat(File("index.json"), " is not an index of certificates"));
  if (!json->is_object()) return bad;
  const auto number = json->find("crl_number");
  const auto list = json->find("certificates");
  if (number == json->end() || !number->is_number_integer() || list == json->end() ||
      !list->is_array() || list->size() > kMaxRecords) {
    return bad;
  }
  opened.crl_number = number->get<int64_t>();
  for (const Json& row : *list) {
    std::optional<CertificateRecord> record = FromJson(row);
    if (!record.has_value()) return bad;
    opened.records.push_back(*std::move(record));
  }
  return opened;
}

absl::Status CertificateAuthority::WriteIndex(const Opened& opened) const {
  Json list = Json::array();
  for (const CertificateRecord& record : opened.records) list.push_back(ToJson(record));
  return WriteFileAtomically(
      File("index.json"),
      DumpJson({{"crl_number", opened.crl_number}, {"certificates", std::move(list)}}), {});
}

absl::Status CertificateAuthority::WriteCrl(Opened* opened) const {
  ++opened->crl_number;
  RETURN_IF_ERROR(WriteIndex(*opened));
  const CrlPtr crl(X509_CRL_new());
  const absl::Time now = clock_->Now();
  const TimePtr last = Asn1Time(now - kBackdate);
  const TimePtr next = Asn1Time(now + kCrlLifetime);
  const IntegerPtr number(ASN1_INTEGER_new());
  if (crl == nullptr || number == nullptr || X509_CRL_set_version(crl.get(), 1) != 1 ||
      X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(opened->certificate.get())) != 1 ||
      X509_CRL_set1_lastUpdate(crl.get(), last.get()) != 1 ||
      X509_CRL_set1_nextUpdate(crl.get(), next.get()) != 1 ||
      ASN1_INTEGER_set_int64(number.get(), opened->crl_number) != 1 ||
      X509_CRL_add1_ext_i2d(crl.get(), NID_crl_number, number.get(), 0, 0) != 1) {
    return OpensslError("making the revocation list");
  }
  for (const CertificateRecord& record : opened->records) {
    if (!record.revoke_time.has_value()) continue;
    std::unique_ptr<X509_REVOKED, OpensslFree<X509_REVOKED_free>> row(X509_REVOKED_new());
    const IntegerPtr serial = Asn1Serial(record.serial);
    const TimePtr date = Asn1Time(*record.revoke_time);
    if (row == nullptr || serial == nullptr ||
        X509_REVOKED_set_serialNumber(row.get(), serial.get()) != 1 ||
        X509_REVOKED_set_revocationDate(row.get(), date.get()) != 1) {
      return OpensslError("making a row of the revocation list");
    }
    // "Unspecified" is said by saying nothing.
    if (record.reason != RevocationReason::kUnspecified) {
      const std::unique_ptr<ASN1_ENUMERATED, OpensslFree<ASN1_ENUMERATED_free>> reason(
          ASN1_ENUMERATED_new());
      if (reason == nullptr ||
          ASN1_ENUMERATED_set_int64(reason.get(), RowOf(record.reason).code) != 1 ||
          X509_REVOKED_add1_ext_i2d(row.get(), NID_crl_reason, reason.get(), 0, 0) != 1) {
        return OpensslError("giving the reason of a revocation");
      }
    }
    if (X509_CRL_add0_revoked(crl.get(), row.get()) != 1) {
      return OpensslError("adding to the revocation list");
    }
    row.release();  // NOLINT(bugprone-unused-return-value): the list owns it now.
  }
  X509_CRL_sort(crl.get());
  if (X509_CRL_sign(crl.get(), opened->key.get(), EVP_sha256()) == 0) {
    return OpensslError("signing the revocation list");
  }
  return WriteFileAtomically(CrlFile(), ToPem(crl.get()), {.mode = 0644});
}

absl::StatusOr<IssuedCertificate> CertificateAuthority::Issue(const IssueRequest& request) {
  ASSIGN_OR_RETURN(const std::string names, AlternativeNames(request));
  if (request.lifetime < kMinLifetime || request.lifetime > kMaxLifetime) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a lifetime of ", absl::FormatDuration(request.lifetime), " is not ",
        absl::FormatDuration(kMinLifetime), " to ", absl::FormatDuration(kMaxLifetime)));
  }
  ASSIGN_OR_RETURN(Opened opened, Open());
  if (opened.records.size() >= kMaxRecords) {
    return absl::ResourceExhaustedError(
        absl::StrCat(dir_, " has issued ", kMaxRecords, " certificates, all it can"));
  }
  ASSIGN_OR_RETURN(const absl::Time end, TimeOf(X509_get0_notAfter(opened.certificate.get())));
  const absl::Time now = clock_->Now();
  if (now + request.lifetime > end) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a lifetime of ", absl::FormatDuration(request.lifetime), " passes the authority's end at ",
        absl::FormatTime(absl::RFC3339_sec, end, absl::UTCTimeZone())));
  }
  ASSIGN_OR_RETURN(const KeyPtr key, NewKey());
  const CertificatePtr certificate(X509_new());
  if (certificate == nullptr) return OpensslError("making a certificate");
  X509* const raw = certificate.get();
  X509* const issuer = opened.certificate.get();
  RETURN_IF_ERROR(FillCertificate(raw, NewSerial(), request.name, now - kBackdate,
                                  now + request.lifetime, key.get()));
  if (X509_set_issuer_name(raw, X509_get_subject_name(issuer)) != 1) {
    return OpensslError("naming the issuer");
  }
  // A user's certificate must not pass for a server.
  const std::string uses =
      request.kind == CertificateKind::kNode ? "serverAuth,clientAuth" : "clientAuth";
  RETURN_IF_ERROR(AddExtension(raw, issuer, NID_basic_constraints, "critical,CA:FALSE"));
  RETURN_IF_ERROR(AddExtension(raw, issuer, NID_key_usage, "critical,digitalSignature"));
  RETURN_IF_ERROR(AddExtension(raw, issuer, NID_ext_key_usage, uses));
  RETURN_IF_ERROR(AddExtension(raw, issuer, NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(AddExtension(raw, issuer, NID_authority_key_identifier, "keyid:always"));
  RETURN_IF_ERROR(AddExtension(raw, issuer, NID_subject_alt_name, names));
  if (X509_sign(raw, opened.key.get(), EVP_sha256()) == 0) return OpensslError("signing");
  IssuedCertificate issued;
  ASSIGN_OR_RETURN(issued.record, RecordOf(raw));
  issued.certificate_pem = ToPem(raw);
  issued.key_pem = ToPem(key.get());
  opened.records.push_back(issued.record);
  RETURN_IF_ERROR(WriteIndex(opened));
  RETURN_IF_ERROR(WriteFileAtomically(File(absl::StrCat("issued/", issued.record.serial, ".crt")),
                                      issued.certificate_pem, {.mode = 0644}));
  return issued;
}

absl::StatusOr<IssuedCertificate> CertificateAuthority::Renew(absl::string_view serial,
                                                              RenewalKey key_choice) {
  ASSIGN_OR_RETURN(Opened opened, Open());
  ASSIGN_OR_RETURN(const CertificateRecord* const old, opened.Find(serial));
  if (old->revoke_time.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("certificate ", old->serial, " is revoked; issue a new one"));
  }
  if (opened.records.size() >= kMaxRecords) {
    return absl::ResourceExhaustedError(
        absl::StrCat(dir_, " has issued ", kMaxRecords, " certificates, all it can"));
  }
  const std::string file = File(absl::StrCat("issued/", old->serial, ".crt"));
  ASSIGN_OR_RETURN(const FileContent content, ReadFile(file, kMaxPemBytes));
  // The old certificate with another serial, other dates and, perhaps, another key.
  ASSIGN_OR_RETURN(const CertificatePtr certificate, ParseCertificatePem(content.text, file));
  X509* const raw = certificate.get();
  if (X509_verify(raw, X509_get0_pubkey(opened.certificate.get())) != 1) {
    return absl::FailedPreconditionError(
        absl::StrCat(file, " was not signed by this authority, or was changed"));
  }
  ASSIGN_OR_RETURN(const absl::Time end, TimeOf(X509_get0_notAfter(opened.certificate.get())));
  const absl::Time now = clock_->Now();
  const absl::Duration lifetime = old->not_after - old->not_before - kBackdate;
  const TimePtr not_before = Asn1Time(now - kBackdate);
  const TimePtr not_after = Asn1Time(std::min(now + lifetime, end));
  const IntegerPtr number = Asn1Serial(NewSerial());
  if (number == nullptr || X509_set_serialNumber(raw, number.get()) != 1 ||
      X509_set1_notBefore(raw, not_before.get()) != 1 ||
      X509_set1_notAfter(raw, not_after.get()) != 1) {
    return OpensslError("renewing a certificate");
  }
  IssuedCertificate issued;
  if (key_choice == RenewalKey::kNew) {
    ASSIGN_OR_RETURN(const KeyPtr key, NewKey());
    if (X509_set_pubkey(raw, key.get()) != 1) return OpensslError("giving a certificate its key");
    const int at = X509_get_ext_by_NID(raw, NID_subject_key_identifier, -1);
    if (at >= 0) X509_EXTENSION_free(X509_delete_ext(raw, at));
    RETURN_IF_ERROR(
        AddExtension(raw, opened.certificate.get(), NID_subject_key_identifier, "hash"));
    issued.key_pem = ToPem(key.get());
  }
  if (X509_sign(raw, opened.key.get(), EVP_sha256()) == 0) return OpensslError("signing");
  ASSIGN_OR_RETURN(issued.record, RecordOf(raw));
  issued.certificate_pem = ToPem(raw);
  opened.records.push_back(issued.record);
  RETURN_IF_ERROR(WriteIndex(opened));
  RETURN_IF_ERROR(WriteFileAtomically(File(absl::StrCat("issued/", issued.record.serial, ".crt")),
                                      issued.certificate_pem, {.mode = 0644}));
  return issued;
}

absl::Status CertificateAuthority::Revoke(absl::string_view serial, RevocationReason reason) {
  ASSIGN_OR_RETURN(Opened opened, Open());
  ASSIGN_OR_RETURN(CertificateRecord* const record, opened.Find(serial));
  if (!record->revoke_time.has_value()) {
    record->revoke_time = clock_->Now();
    record->reason = reason;
  }
  return WriteCrl(&opened);
}

absl::Status CertificateAuthority::RenewCrl() {
  ASSIGN_OR_RETURN(Opened opened, Open());
  return WriteCrl(&opened);
}

absl::StatusOr<absl::Time> CertificateAuthority::CrlExpireTime() const {
  ASSIGN_OR_RETURN(const FileContent file, ReadFile(CrlFile(), kMaxCrlBytes));
  ASSIGN_OR_RETURN(const CrlPtr crl, ParseCrlPem(file.text, CrlFile()));
  return TimeOf(X509_CRL_get0_nextUpdate(crl.get()));
}

absl::StatusOr<std::vector<CertificateRecord>> CertificateAuthority::List() const {
  ASSIGN_OR_RETURN(Opened opened, Open());
  return std::move(opened.records);
}

absl::StatusOr<std::vector<CertificateRecord>> CertificateAuthority::ExpiringBefore(
    absl::Time time) const {
  ASSIGN_OR_RETURN(Opened opened, Open());
  std::vector<CertificateRecord> ending;
  for (CertificateRecord& record : opened.records) {
    if (!record.revoke_time.has_value() && record.not_after < time) {
      ending.push_back(std::move(record));
    }
  }
  std::stable_sort(ending.begin(), ending.end(),
                   [](const auto& a, const auto& b) { return a.not_after < b.not_after; });
  return ending;
}

}  // namespace om
