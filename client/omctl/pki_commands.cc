// The cluster's certificates.
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/errors.h"
#include "client/omctl/arguments.h"
#include "client/omctl/commands.h"
#include "client/omctl/table.h"
#include "om/control/v1/pki.grpc.pb.h"
#include "server/base/file.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

namespace {

constexpr absl::Duration kSoon = absl::Hours(24 * 30);

const CLI::Validator kLifetime(
    [](std::string& text) {
      const absl::StatusOr<absl::Duration> lifetime = ParseLifetimeArgument(text);
      return lifetime.ok() ? std::string() : std::string(lifetime.status().message());
    },
    "");

const std::map<std::string, RevocationReason>& Reasons() {
  static const auto* const reasons = new std::map<std::string, RevocationReason>{
      {"unspecified", REVOCATION_REASON_UNSPECIFIED},
      {"key-compromise", REVOCATION_REASON_KEY_COMPROMISE},
      {"superseded", REVOCATION_REASON_SUPERSEDED},
      {"left", REVOCATION_REASON_CESSATION_OF_OPERATION}};
  return *reasons;
}

// The parser has checked it.
void SetDuration(const std::string& text, google::protobuf::Duration* out) {
  const absl::Duration duration = *ParseLifetimeArgument(text);
  out->set_seconds(absl::ToInt64Seconds(duration));
}

std::string KindWord(CertificateKind kind) {
  return kind == CERTIFICATE_KIND_NODE ? "node" : kind == CERTIFICATE_KIND_USER ? "user" : "?";
}

std::string ReasonWord(RevocationReason reason) {
  for (const auto& [word, value] : Reasons()) {
    if (value == reason && reason != REVOCATION_REASON_UNSPECIFIED) return word;
  }
  return "";
}

Cell StateCell(const Certificate& certificate, absl::Time now) {
  if (certificate.has_revoke_time()) {
    const std::string reason = ReasonWord(certificate.revocation_reason());
    return {absl::StrCat("revoked", reason.empty() ? "" : ", ", reason), Colour::kBad};
  }
  const absl::Time end = ToTime(certificate.not_after());
  if (end <= now) return {"expired", Colour::kBad};
  if (end <= now + kSoon) return {"ends soon", Colour::kWarn};
  return {"good", Colour::kGood};
}

std::string RenderCertificates(const ListCertificatesResponse& list, absl::Time now,
                               const RenderOptions& options) {
  if (list.certificates().empty()) return "no certificates\n";
  TextTable table;
  table.AddRow({{"KIND", Colour::kBold},
                {"NAME", Colour::kBold},
                {"SERIAL", Colour::kBold},
                {"ENDS", Colour::kBold},
                {"STATE", Colour::kBold}});
  for (const Certificate& certificate : list.certificates()) {
    table.AddRow({KindWord(certificate.kind()), certificate.name(), certificate.serial(),
                  TimeText(certificate.not_after(), options), StateCell(certificate, now)});
  }
  return table.Render(options.colour);
}

bool Exists(const std::string& path) {
  struct stat info = {};
  return lstat(path.c_str(), &info) == 0;
}

// Where the files of a certificate go.
struct CertificateFiles {
  CertificateFiles(const std::string& dir, const std::string& name)
      : certificate(absl::StrCat(dir, "/", name, ".crt")),
        key(absl::StrCat(dir, "/", name, ".key")),
        authority(absl::StrCat(dir, "/ca.crt")) {}
  std::string certificate;
  std::string key;
  std::string authority;
};

// Before anything is made that could then not be kept.
absl::Status CheckPlace(const std::string& dir, const std::vector<std::string>& files,
                        bool replace) {
  const absl::Status made = MakeDirectories(dir, 0700);
  if (!made.ok()) return made;
  if (access(dir.c_str(), W_OK | X_OK) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(dir, " cannot be written to"));
  }
  for (const std::string& file : files) {
    if (replace || !Exists(file)) continue;
    return absl::AlreadyExistsError(
        absl::StrCat(file, " is there already: expected --force to replace it, or another --out"));
  }
  return absl::OkStatus();
}

// `certificate` is what they are of: it has been made, so a failure must name it.
absl::Status WriteFiles(const Certificate& certificate,
                        const std::vector<std::pair<std::string, std::string>>& files) {
  for (const auto& [path, text] : files) {
    if (text.empty()) continue;
    WriteOptions options;
    options.mode = path.size() > 4 && path.substr(path.size() - 4) == ".key" ? 0600 : 0644;
    const absl::Status written = WriteFileAtomically(path, text, options);
    if (!written.ok()) {
      return absl::Status(written.code(),
                          absl::StrCat(written.message(), "; the certificate ",
                                       certificate.serial(), " was made: revoke it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void Omctl::DefinePki() {
  CLI::App* pki = Group(&app_, "pki", "Certificates of nodes and users",
                        "Examples:\n"
                        "  omctl pki init --address om1.example.org\n"
                        "  omctl pki issue user alice --out ~/.omctl\n"
                        "  omctl pki list --expiring 30d\n"
                        "  omctl pki revoke alice --reason left");
  const auto lifetime = [this](CLI::App* app, const char* help) {
    app->add_option("--lifetime", args_.lifetime, help)->type_name("DURATION")->check(kLifetime);
  };
  const auto addresses = [this](CLI::App* app, const char* help) {
    app->add_option("--address", args_.addresses, help)
        ->type_name("ADDRESS")
        ->allow_extra_args(false);
  };
  const auto out_dir = [this](CLI::App* app) {
    app->add_option("--out", args_.out_dir, "Folder for the files (default: this one)")
        ->type_name("DIR");
    app->add_flag("--force", args_.force, "Replace files that are there");
  };
  CLI::App* init =
      Define(pki, "init", "Makes the cluster's authority, and a certificate for this node",
             [this] { return PkiInit(); });
  lifetime(init, "How long the authority lasts (default: 10y)");
  addresses(init, "Address or name that this node is also reached by; may be given several times");
  init->footer(
      "The authority's key stays on this node, in <var>/omd/pki. What was cut off is taken up "
      "again.\n\nExample:\n  omctl pki init --address om1.example.org");
  Define(pki, "ca", "Prints the authority's certificate, which clients trust", [this] {
    return PkiAuthority();
  })->footer("Example:\n  omctl pki ca > ca.crt");
  CLI::App* issue =
      Define(pki, "issue", "Makes a certificate and its key", [this] { return PkiIssue(); });
  issue->add_option("kind", args_.certificate_kind, "node or user")
      ->required()
      ->check(CLI::IsMember({"node", "user"}));
  issue->add_option("name", args_.certificate_name, "Name of the node, or of system/usr/<name>")
      ->required();
  addresses(issue,
            "Of a node: address or name that it is also reached by; may be given several times");
  lifetime(issue, "How long it lasts (default: 1y)");
  out_dir(issue);
  issue->footer(
      "Writes NAME.crt, NAME.key (mode 0600) and ca.crt. The key is kept nowhere else.\n"
      "\n"
      "Examples:\n"
      "  omctl pki issue user alice --lifetime 90d --out ~/.omctl\n"
      "  omctl pki issue node n2 --address 192.0.2.2");
  CLI::App* list = Define(pki, "list", "Lists what was issued", [this] { return PkiList(); });
  list->add_option("--expiring", args_.expiring,
                   "Only what is not revoked and ends within this time, or has ended")
      ->type_name("DURATION")
      ->check(kLifetime);
  list->footer("Example:\n  omctl pki list --expiring 30d");
  CLI::App* revoke =
      Define(pki, "revoke", "Makes certificates worthless at once", [this] { return PkiRevoke(); });
  revoke
      ->add_option("certificate", args_.certificate,
                   "Serial; or the name of a node or user: all that are not revoked yet")
      ->required();
  std::vector<std::string> reasons;
  for (const auto& [word, value] : Reasons()) reasons.push_back(word);
  revoke->add_option("--reason", args_.reason, absl::StrJoin(reasons, ", "))
      ->type_name("REASON")
      ->check(CLI::IsMember(reasons));
  revoke->footer("Example:\n  omctl pki revoke alice --reason key-compromise");
  CLI::App* renew = Define(pki, "renew", "Makes a certificate for the names of another",
                           [this] { return PkiRenew(); });
  renew
      ->add_option("certificate", args_.certificate,
                   "Serial; or the name of a node or user: the one issued last")
      ->required();
  renew->add_flag("--keep-key", args_.keep_key, "For the same key");
  out_dir(renew);
  renew->footer(
      "The old one stays good until it ends or is revoked. This node's own is put to use at once;\n"
      "of others the files are written as by 'pki issue'.\n"
      "\n"
      "Example:\n  omctl pki renew n2 --out /tmp/n2");
}

Outcome Omctl::PkiInit() {
  if (auto failure = Connect()) return *std::move(failure);
  InitAuthorityRequest request;
  if (!args_.lifetime.empty()) SetDuration(args_.lifetime, request.mutable_lifetime());
  for (const std::string& address : args_.addresses) request.add_addresses(address);
  InitAuthorityResponse response;
  const grpc::Status status =
      Read(NewStub<PkiService>().get(), &PkiService::Stub::InitAuthority, request, &response);
  if (!status.ok()) return FailureOf(status);
  const Certificate& node = response.node_certificate();
  return Print(response, absl::StrCat("authority made; certificate ", Printable(node.serial()),
                                      " of node ", Printable(node.name()), " ends ",
                                      TimeText(node.not_after(), render()), "\n"));
}

Outcome Omctl::PkiAuthority() {
  if (auto failure = Connect()) return *std::move(failure);
  GetAuthorityResponse response;
  const grpc::Status status =
      Read(NewStub<PkiService>().get(), &PkiService::Stub::GetAuthority, {}, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response, Printable(response.certificate_pem(), /*keep_newlines=*/true));
}

Outcome Omctl::PkiIssue() {
  const CertificateFiles files(args_.out_dir, args_.certificate_name);
  // A name that is a path is refused by the daemon, but files are looked for before.
  if (args_.certificate_name.find('/') != std::string::npos) {
    return LocalFailure(kExitUsage, "INVALID_ARGUMENT",
                        absl::StrCat("name '", args_.certificate_name, "' has a slash"));
  }
  const absl::Status place = CheckPlace(args_.out_dir, {files.certificate, files.key}, args_.force);
  if (!place.ok()) return LocalFailure(kExitError, place);
  if (auto failure = Connect()) return *std::move(failure);
  const auto stub = NewStub<PkiService>();
  if (!args_.force && Exists(files.authority)) {
    GetAuthorityResponse authority;
    const grpc::Status status = Read(stub.get(), &PkiService::Stub::GetAuthority, {}, &authority);
    if (!status.ok()) return FailureOf(status);
    const absl::StatusOr<FileContent> there = ReadFile(files.authority, 1 << 20);
    if (!there.ok() || there->text != authority.certificate_pem()) {
      return LocalFailure(kExitError, "ALREADY_EXISTS",
                          absl::StrCat(files.authority,
                                       " is of another authority: expected --force to replace it, "
                                       "or another --out"));
    }
  }
  IssueCertificateRequest request;
  request.set_kind(args_.certificate_kind == "node" ? CERTIFICATE_KIND_NODE
                                                    : CERTIFICATE_KIND_USER);
  request.set_name(args_.certificate_name);
  for (const std::string& address : args_.addresses) request.add_addresses(address);
  if (!args_.lifetime.empty()) SetDuration(args_.lifetime, request.mutable_lifetime());
  IssueCertificateResponse response;
  const grpc::Status status =
      Read(stub.get(), &PkiService::Stub::IssueCertificate, request, &response);
  if (!status.ok()) return FailureOf(status);
  const absl::Status written =
      WriteFiles(response.certificate(), {{files.key, response.key_pem()},
                                          {files.certificate, response.certificate_pem()},
                                          {files.authority, response.authority_pem()}});
  if (!written.ok()) return LocalFailure(kExitError, written);
  response.clear_key_pem();  // It is in its file.
  const Certificate& certificate = response.certificate();
  return Print(
      response,
      absl::StrCat("certificate ", Printable(certificate.serial()), " of ",
                   KindWord(certificate.kind()), " ", Printable(certificate.name()), " ends ",
                   TimeText(certificate.not_after(), render()), ": ", Printable(files.certificate),
                   ", ", Printable(files.key), ", ", Printable(files.authority), "\n"));
}

std::optional<Failure> Omctl::ListCertificates(const ListCertificatesRequest& request,
                                               ListCertificatesResponse* whole) {
  const auto stub = NewStub<PkiService>();
  ListCertificatesRequest next = request;
  do {
    ListCertificatesResponse page;
    const grpc::Status status = Read(stub.get(), &PkiService::Stub::ListCertificates, next, &page);
    if (!status.ok()) return FailureOf(status);
    whole->mutable_certificates()->MergeFrom(page.certificates());
    next.set_page_token(page.next_page_token());
  } while (!next.page_token().empty());
  return std::nullopt;
}

Outcome Omctl::PkiList() {
  if (auto failure = Connect()) return *std::move(failure);
  ListCertificatesRequest request;
  if (!args_.expiring.empty()) SetDuration(args_.expiring, request.mutable_expiring_within());
  ListCertificatesResponse list;
  if (auto failure = ListCertificates(request, &list)) return *std::move(failure);
  return Print(list, RenderCertificates(list, absl::Now(), render()));
}

// By serial one, whatever became of it; by name those that are not revoked, in the order of issue.
std::optional<Failure> Omctl::FindCertificates(ListCertificatesResponse* found) {
  ListCertificatesResponse all;
  if (auto failure = ListCertificates({}, &all)) return failure;
  const std::string serial = absl::AsciiStrToLower(args_.certificate);
  for (const Certificate& certificate : all.certificates()) {
    if (certificate.serial() != serial) continue;
    *found->add_certificates() = certificate;
    return std::nullopt;
  }
  bool revoked = false;
  for (const Certificate& certificate : all.certificates()) {
    if (certificate.name() != args_.certificate) continue;
    revoked = revoked || certificate.has_revoke_time();
    if (certificate.has_revoke_time()) continue;
    const auto& before = found->certificates();
    if (!before.empty() && before.begin()->kind() != certificate.kind()) {
      return LocalFailure(kExitError, "FAILED_PRECONDITION",
                          absl::StrCat("both a node and a user are called ", args_.certificate,
                                       ": expected a serial, see 'omctl pki list'"));
    }
    *found->add_certificates() = certificate;
  }
  if (!found->certificates().empty()) return std::nullopt;
  return LocalFailure(kExitError, "NOT_FOUND",
                      absl::StrCat(revoked ? "all certificates are revoked that are of '"
                                           : "no certificate has the serial or name '",
                                   args_.certificate, "'"));
}

Outcome Omctl::PkiRevoke() {
  if (auto failure = Connect()) return *std::move(failure);
  ListCertificatesResponse found;
  if (auto failure = FindCertificates(&found)) return *std::move(failure);
  const auto stub = NewStub<PkiService>();
  ListCertificatesResponse revoked;
  std::string text;
  for (const Certificate& certificate : found.certificates()) {
    RevokeCertificateRequest request;
    request.set_serial(certificate.serial());
    if (!args_.reason.empty()) request.set_reason(Reasons().at(args_.reason));
    RevokeCertificateResponse response;
    const grpc::Status status =
        Read(stub.get(), &PkiService::Stub::RevokeCertificate, request, &response);
    if (!status.ok()) return FailureOf(status);
    *revoked.add_certificates() = response.certificate();
    absl::StrAppend(&text, "certificate ", Printable(response.certificate().serial()), " of ",
                    KindWord(response.certificate().kind()), " ",
                    Printable(response.certificate().name()), " revoked\n");
  }
  return Print(revoked, text);
}

Outcome Omctl::PkiRenew() {
  if (auto failure = Connect()) return *std::move(failure);
  ListCertificatesResponse found;
  if (auto failure = FindCertificates(&found)) return *std::move(failure);
  const Certificate& old = *found.certificates().rbegin();
  const CertificateFiles files(args_.out_dir, old.name());
  std::vector<std::string> written_files = {files.certificate};
  if (!args_.keep_key) written_files.push_back(files.key);
  const absl::Status place = CheckPlace(args_.out_dir, written_files, args_.force);
  if (!place.ok()) return LocalFailure(kExitError, place);
  RenewCertificateRequest request;
  request.set_serial(old.serial());
  request.set_keep_key(args_.keep_key);
  RenewCertificateResponse response;
  const grpc::Status status =
      Read(NewStub<PkiService>().get(), &PkiService::Stub::RenewCertificate, request, &response);
  if (!status.ok()) return FailureOf(status);
  const Certificate& certificate = response.certificate();
  if (response.in_use()) {
    return Print(
        response,
        absl::StrCat("certificate ", Printable(certificate.serial()), " of this node ends ",
                     TimeText(certificate.not_after(), render()), ", and its ports use it\n"));
  }
  const absl::Status written = WriteFiles(
      certificate,
      {{files.key, response.key_pem()}, {files.certificate, response.certificate_pem()}});
  if (!written.ok()) return LocalFailure(kExitError, written);
  response.clear_key_pem();
  return Print(response,
               absl::StrCat("certificate ", Printable(certificate.serial()), " of ",
                            KindWord(certificate.kind()), " ", Printable(certificate.name()),
                            " ends ", TimeText(certificate.not_after(), render()), ": ",
                            Printable(absl::StrJoin(written_files, ", ")), "\n"));
}

}  // namespace om
