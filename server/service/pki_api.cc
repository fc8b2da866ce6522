#include "server/service/pki_api.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr int kYearHours = 365 * 24;
constexpr absl::Duration kMinAuthorityLifetime = absl::Hours(24);
constexpr absl::Duration kMaxAuthorityLifetime = absl::Hours(30 * kYearHours);
constexpr absl::Duration kDefaultAuthorityLifetime = absl::Hours(10 * kYearHours);
constexpr absl::Duration kMinLifetime = absl::Minutes(1);
constexpr absl::Duration kMaxLifetime = absl::Hours(10 * kYearHours);
constexpr absl::Duration kDefaultLifetime = absl::Hours(kYearHours);
constexpr size_t kMaxCertificateBytes = 64 << 10;
constexpr size_t kMaxListBytes = 8 << 20;
constexpr int kDefaultPageSize = 1000;
constexpr int kMaxPageSize = 10'000;
constexpr int kMaxGivenAddresses = 16;
constexpr size_t kMaxNodeAddresses = 32;
constexpr Duration kCrlCheckInterval = std::chrono::hours(1);

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::StatusOr<absl::Duration> LifetimeIn(const google::protobuf::Duration* asked,
                                          absl::Duration fallback, absl::Duration least,
                                          absl::Duration most) {
  if (asked == nullptr) return fallback;
  const absl::Duration lifetime = FromProto(*asked);
  if (lifetime < least || lifetime > most) {
    return WithField(absl::InvalidArgumentError(absl::StrCat(
                         "lifetime is ", absl::FormatDuration(lifetime), "; expected ",
                         absl::FormatDuration(least), " to ", absl::FormatDuration(most))),
                     "lifetime");
  }
  return lifetime;
}

pb::RevocationReason ReasonToProto(RevocationReason reason) {
  switch (reason) {
    case RevocationReason::kKeyCompromise:
      return pb::REVOCATION_REASON_KEY_COMPROMISE;
    case RevocationReason::kSuperseded:
      return pb::REVOCATION_REASON_SUPERSEDED;
    case RevocationReason::kCessationOfOperation:
      return pb::REVOCATION_REASON_CESSATION_OF_OPERATION;
    case RevocationReason::kUnspecified:
      break;
  }
  return pb::REVOCATION_REASON_UNSPECIFIED;
}

RevocationReason ReasonFromProto(pb::RevocationReason reason) {
  switch (reason) {
    case pb::REVOCATION_REASON_KEY_COMPROMISE:
      return RevocationReason::kKeyCompromise;
    case pb::REVOCATION_REASON_SUPERSEDED:
      return RevocationReason::kSuperseded;
    case pb::REVOCATION_REASON_CESSATION_OF_OPERATION:
      return RevocationReason::kCessationOfOperation;
    default:
      return RevocationReason::kUnspecified;
  }
}

pb::Certificate RecordToProto(const CertificateRecord& record) {
  pb::Certificate out;
  out.set_kind(record.kind == CertificateKind::kNode ? pb::CERTIFICATE_KIND_NODE
                                                     : pb::CERTIFICATE_KIND_USER);
  out.set_name(record.name);
  out.set_serial(record.serial);
  out.set_fingerprint(record.fingerprint);
  *out.mutable_not_before() = ToProto(record.not_before);
  *out.mutable_not_after() = ToProto(record.not_after);
  if (record.revoke_time.has_value()) {
    *out.mutable_revoke_time() = ToProto(*record.revoke_time);
    out.set_revocation_reason(ReasonToProto(record.reason));
  }
  return out;
}

// How serials are written down; people paste them in other forms.
std::string SerialOf(const std::string& text) { return absl::AsciiStrToLower(text); }

absl::Status CheckSerial(const std::string& serial) {
  if (!serial.empty()) return absl::OkStatus();
  return WithField(absl::InvalidArgumentError("serial is not set"), "serial");
}

absl::Status UnknownCertificate(const absl::Status& status) {
  if (!absl::IsNotFound(status)) return status;
  return WithField(WithReason(status, "CERTIFICATE_UNKNOWN"), "serial");
}

std::string Shown(const std::string& text) { return text.substr(0, 64); }

template <class T>
void OnPkiWorker(const ServiceContext& context, const Reply<T>& reply,
                 std::function<absl::StatusOr<T>()> work) {
  const bool posted = context.workers->Post([reply, work = std::move(work)] { reply(work()); });
  if (posted) return;
  reply(WithRetryAfter(absl::ResourceExhaustedError("too many requests wait for a disk"),
                       std::chrono::seconds(1)));
}

}  // namespace

std::vector<std::string> InterfaceAddresses(size_t limit) {
  std::vector<std::string> addresses = {"localhost", "127.0.0.1", "::1"};
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* entry = list; entry != nullptr && addresses.size() < limit;
       entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (entry->ifa_addr->sa_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
      if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) continue;
      inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
    } else {
      continue;
    }
    addresses.emplace_back(text);
  }
  freeifaddrs(list);
  return addresses;
}

PkiApi::PkiApi(const ServiceContext* context, SecureRandom* random, LocalAddresses local_addresses)
    : context_(context),
      local_addresses_(std::move(local_addresses)),
      dir_(absl::StrCat(context->roots.OmdDir(), "/pki")),
      authority_(dir_, context->clock, random) {}

std::string PkiApi::NodeFile(absl::string_view extension) const {
  return absl::StrCat(dir_, "/node.", extension);
}

bool PkiApi::HasAuthority() const { return ModificationTime(authority_.CertificateFile()).ok(); }

absl::Status PkiApi::CheckAuthority() const {
  if (HasAuthority()) return absl::OkStatus();
  return MakeError("AUTHORITY_MISSING", "there is no certificate authority on this node");
}

absl::Status PkiApi::Install(const IssuedCertificate& issued) const {
  if (!issued.key_pem.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(NodeFile("key"), issued.key_pem, {}));
  }
  return WriteFileAtomically(NodeFile("crt"), issued.certificate_pem, {});
}

absl::StatusOr<pb::InitAuthorityResponse> PkiApi::Init(const pb::InitAuthorityRequest& request) {
  ASSIGN_OR_RETURN(
      const absl::Duration lifetime,
      LifetimeIn(request.has_lifetime() ? &request.lifetime() : nullptr, kDefaultAuthorityLifetime,
                 kMinAuthorityLifetime, kMaxAuthorityLifetime));
  if (request.addresses_size() > kMaxGivenAddresses) {
    return WithField(
        absl::InvalidArgumentError(absl::StrCat(
            request.addresses_size(), " addresses; expected at most ", kMaxGivenAddresses)),
        "addresses");
  }
  // An attempt that was cut off before this node had its certificate is taken to its end.
  const bool interrupted = HasAuthority() && !ModificationTime(NodeFile("crt")).ok();
  IssueRequest node;
  node.kind = CertificateKind::kNode;
  node.name = context_->facts.node;
  const auto add = [&node](const std::string& address) {
    const bool known =
        address == node.name ||
        std::find(node.addresses.begin(), node.addresses.end(), address) != node.addresses.end();
    if (!known && node.addresses.size() < kMaxNodeAddresses) node.addresses.push_back(address);
  };
  for (const std::string& address : request.addresses()) {
    // Before anything is made.
    unsigned char binary[sizeof(in6_addr)];
    if (inet_pton(AF_INET, address.c_str(), binary) != 1 &&
        inet_pton(AF_INET6, address.c_str(), binary) != 1 && !IsCertificateName(address)) {
      return WithField(absl::InvalidArgumentError(absl::StrCat(
                           "address \"", Shown(address), "\" is no IP address and no host name")),
                       "addresses");
    }
    add(address);
  }
  for (const std::string& address : local_addresses_()) add(address);
  if (!interrupted) {
    RETURN_IF_ERROR(authority_.Init(context_->settings->get()->cluster_name, lifetime));
  }
  // Not past the authority's own end, of which some time has passed since.
  node.lifetime = std::min(kDefaultLifetime, lifetime - absl::Minutes(1));
  ASSIGN_OR_RETURN(const IssuedCertificate issued, authority_.Issue(node));
  RETURN_IF_ERROR(Install(issued));
  ASSIGN_OR_RETURN(const FileContent certificate,
                   ReadFile(authority_.CertificateFile(), kMaxCertificateBytes));
  pb::InitAuthorityResponse response;
  response.set_certificate_pem(certificate.text);
  *response.mutable_node_certificate() = RecordToProto(issued.record);
  return response;
}

void PkiApi::InitAuthority(const Caller& caller, const pb::InitAuthorityRequest& request,
                           Reply<pb::InitAuthorityResponse> reply) {
  constexpr char operation[] = "om.control.v1.PkiService/InitAuthority";
  if (!BeginChange(*context_, caller, operation, {"", "", {}}, &reply)) return;
  OnPkiWorker<pb::InitAuthorityResponse>(*context_, reply,
                                         [this, request] { return Init(request); });
}

void PkiApi::GetAuthority(const Caller& caller, const pb::GetAuthorityRequest& /*request*/,
                          Reply<pb::GetAuthorityResponse> reply) {
  absl::Status admitted = Admit(*context_, caller, "om.control.v1.PkiService/GetAuthority");
  if (!admitted.ok()) return reply(std::move(admitted));
  OnPkiWorker<pb::GetAuthorityResponse>(
      *context_, reply, [this]() -> absl::StatusOr<pb::GetAuthorityResponse> {
        if (!HasAuthority()) {
          return WithReason(absl::NotFoundError("there is no certificate authority on this node"),
                            "AUTHORITY_MISSING");
        }
        ASSIGN_OR_RETURN(const FileContent certificate,
                         ReadFile(authority_.CertificateFile(), kMaxCertificateBytes));
        ASSIGN_OR_RETURN(const FileContent crl, ReadFile(authority_.CrlFile(), kMaxListBytes));
        pb::GetAuthorityResponse response;
        response.set_certificate_pem(certificate.text);
        response.set_crl_pem(crl.text);
        return response;
      });
}

absl::StatusOr<pb::IssueCertificateResponse> PkiApi::Issue(
    const pb::IssueCertificateRequest& request) {
  RETURN_IF_ERROR(CheckAuthority());
  IssueRequest issue;
  if (request.kind() == pb::CERTIFICATE_KIND_NODE) {
    issue.kind = CertificateKind::kNode;
  } else if (request.kind() == pb::CERTIFICATE_KIND_USER) {
    issue.kind = CertificateKind::kUser;
  } else {
    return WithField(
        absl::InvalidArgumentError("kind is not set; expected CERTIFICATE_KIND_NODE or _USER"),
        "kind");
  }
  if (!IsCertificateName(request.name())) {
    return WithField(absl::InvalidArgumentError(absl::StrCat(
                         "name is \"", Shown(request.name()),
                         "\"; expected 1 to 63 of [A-Za-z0-9._-], the first a letter or a digit")),
                     "name");
  }
  issue.name = request.name();
  issue.addresses.assign(request.addresses().begin(), request.addresses().end());
  ASSIGN_OR_RETURN(issue.lifetime,
                   LifetimeIn(request.has_lifetime() ? &request.lifetime() : nullptr,
                              kDefaultLifetime, kMinLifetime, kMaxLifetime));
  ASSIGN_OR_RETURN(const IssuedCertificate issued, authority_.Issue(issue));
  ASSIGN_OR_RETURN(const FileContent authority,
                   ReadFile(authority_.CertificateFile(), kMaxCertificateBytes));
  pb::IssueCertificateResponse response;
  *response.mutable_certificate() = RecordToProto(issued.record);
  response.set_certificate_pem(issued.certificate_pem);
  response.set_key_pem(issued.key_pem);
  response.set_authority_pem(authority.text);
  return response;
}

void PkiApi::IssueCertificate(const Caller& caller, const pb::IssueCertificateRequest& request,
                              Reply<pb::IssueCertificateResponse> reply) {
  constexpr char operation[] = "om.control.v1.PkiService/IssueCertificate";
  const std::string target = absl::StrCat(
      request.kind() == pb::CERTIFICATE_KIND_NODE ? "node " : "user ", Shown(request.name()));
  if (!BeginChange(*context_, caller, operation, {target, "", {}}, &reply)) return;
  OnPkiWorker<pb::IssueCertificateResponse>(*context_, reply,
                                            [this, request] { return Issue(request); });
}

absl::StatusOr<pb::ListCertificatesResponse> PkiApi::List(
    const pb::ListCertificatesRequest& request) {
  RETURN_IF_ERROR(CheckAuthority());
  ASSIGN_OR_RETURN(const std::vector<CertificateRecord> records, authority_.List());
  std::optional<absl::Time> before;
  if (request.has_expiring_within()) {
    before = context_->clock->Now() + FromProto(request.expiring_within());
  }
  // The place in the whole list, which only grows.
  uint32_t next = 0;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &next)) {
    return WithField(MakeError("INVALID_PAGE_TOKEN", "page_token was not given by this daemon"),
                     "page_token");
  }
  const int size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  pb::ListCertificatesResponse response;
  size_t i = next;
  for (; i < records.size() && response.certificates_size() < size; ++i) {
    if (before.has_value() &&
        (records[i].revoke_time.has_value() || records[i].not_after > *before)) {
      continue;
    }
    *response.add_certificates() = RecordToProto(records[i]);
  }
  if (i < records.size()) response.set_next_page_token(absl::StrCat(i));
  return response;
}

void PkiApi::ListCertificates(const Caller& caller, const pb::ListCertificatesRequest& request,
                              Reply<pb::ListCertificatesResponse> reply) {
  absl::Status admitted = Admit(*context_, caller, "om.control.v1.PkiService/ListCertificates");
  if (!admitted.ok()) return reply(std::move(admitted));
  if (request.page_size() < 0 || request.page_size() > kMaxPageSize) {
    return reply(
        WithField(absl::InvalidArgumentError(absl::StrCat("page_size is ", request.page_size(),
                                                          "; expected 0 to ", kMaxPageSize)),
                  "page_size"));
  }
  OnPkiWorker<pb::ListCertificatesResponse>(*context_, reply,
                                            [this, request] { return List(request); });
}

absl::StatusOr<pb::RevokeCertificateResponse> PkiApi::Revoke(
    const pb::RevokeCertificateRequest& request) {
  RETURN_IF_ERROR(CheckAuthority());
  RETURN_IF_ERROR(CheckSerial(request.serial()));
  const std::string serial = SerialOf(request.serial());
  const absl::Status revoked = authority_.Revoke(serial, ReasonFromProto(request.reason()));
  if (!revoked.ok()) return UnknownCertificate(revoked);
  ASSIGN_OR_RETURN(const std::vector<CertificateRecord> records, authority_.List());
  pb::RevokeCertificateResponse response;
  for (const CertificateRecord& record : records) {
    if (record.serial == serial) *response.mutable_certificate() = RecordToProto(record);
  }
  return response;
}

void PkiApi::RevokeCertificate(const Caller& caller, const pb::RevokeCertificateRequest& request,
                               Reply<pb::RevokeCertificateResponse> reply) {
  constexpr char operation[] = "om.control.v1.PkiService/RevokeCertificate";
  if (!BeginChange(*context_, caller, operation, {Shown(request.serial()), "", {}}, &reply)) return;
  OnPkiWorker<pb::RevokeCertificateResponse>(*context_, reply,
                                             [this, request] { return Revoke(request); });
}

absl::StatusOr<pb::RenewCertificateResponse> PkiApi::Renew(
    const pb::RenewCertificateRequest& request) {
  RETURN_IF_ERROR(CheckAuthority());
  RETURN_IF_ERROR(CheckSerial(request.serial()));
  const std::string serial = SerialOf(request.serial());
  // Whether it is the one that this node serves with.
  const absl::StatusOr<FileContent> served = ReadFile(NodeFile("crt"), kMaxCertificateBytes);
  bool own = false;
  if (served.ok()) {
    const absl::StatusOr<CertificateIdentity> identity = IdentityOfPem(served->text);
    own = identity.ok() && identity->serial == serial;
  }
  const absl::StatusOr<IssuedCertificate> issued =
      authority_.Renew(serial, request.keep_key() ? CertificateAuthority::RenewalKey::kSame
                                                  : CertificateAuthority::RenewalKey::kNew);
  if (!issued.ok()) return UnknownCertificate(issued.status());
  if (own) RETURN_IF_ERROR(Install(*issued));
  pb::RenewCertificateResponse response;
  *response.mutable_certificate() = RecordToProto(issued->record);
  response.set_certificate_pem(issued->certificate_pem);
  // A key that has its place goes nowhere else.
  if (!own) response.set_key_pem(issued->key_pem);
  response.set_in_use(own);
  return response;
}

void PkiApi::RenewCertificate(const Caller& caller, const pb::RenewCertificateRequest& request,
                              Reply<pb::RenewCertificateResponse> reply) {
  constexpr char operation[] = "om.control.v1.PkiService/RenewCertificate";
  if (!BeginChange(*context_, caller, operation, {Shown(request.serial()), "", {}}, &reply)) return;
  OnPkiWorker<pb::RenewCertificateResponse>(*context_, reply,
                                            [this, request] { return Renew(request); });
}

absl::Status PkiApi::RenewCrlIfDue() {
  if (!HasAuthority()) return absl::OkStatus();
  const absl::StatusOr<absl::Time> end = authority_.CrlExpireTime();
  const absl::Time half = context_->clock->Now() + CertificateAuthority::kCrlLifetime / 2;
  if (end.ok() && *end > half) return absl::OkStatus();
  return authority_.RenewCrl();
}

void PkiApi::KeepCrl() {
  const bool posted = context_->workers->Post([this] {
    const absl::Status renewed = RenewCrlIfDue();
    if (!renewed.ok()) {
      LOG(ERROR) << "OM-PKI-CRL the revocation list could not be renewed: " << renewed.message();
    }
  });
  // A pool that is full has room within the hour.
  (void)posted;
  context_->loop->PostAfter(kCrlCheckInterval, [this] { KeepCrl(); });
}

}  // namespace om
