#include "client/client_security.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;
// Longer ones are refused by every daemon.
constexpr size_t kMaxTokenBytes = 8 << 10;

absl::StatusOr<std::string> ReadPart(absl::string_view what, const std::string& path) {
  if (path.empty()) return std::string();
  absl::StatusOr<FileContent> file = ReadFile(path, kMaxFileBytes, AcceptedFiles::kAny);
  if (!file.ok()) return Annotate(file.status(), what);
  return std::move(file->text);
}

absl::StatusOr<std::string> ReadPem(absl::string_view what, const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadPart(what, path));
  // The library would only say that no connection can be made.
  if (!path.empty() && !absl::StrContains(text, "-----BEGIN ")) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": ", path, " holds nothing in PEM form"));
  }
  return text;
}

}  // namespace

absl::StatusOr<ClientSecurity> LoadClientSecurity(const SecurityFiles& files) {
  ClientSecurity security;
  if (files.certificate.empty() != files.key.empty()) {
    return absl::InvalidArgumentError(
        "certificate and key were not given together: expected both --tls-cert and --tls-key");
  }
  if (files.authority.empty() && !files.certificate.empty()) {
    return absl::InvalidArgumentError(
        "a certificate was given and no authority: expected --tls-ca, the certificate of the "
        "authority that the server's certificate comes from");
  }
  if (!files.token.empty() && !files.token_file.empty()) {
    return absl::InvalidArgumentError("two tokens were given: expected a token or a file with one");
  }
  ASSIGN_OR_RETURN(security.authority_pem, ReadPem("certificate authority", files.authority));
  ASSIGN_OR_RETURN(security.certificate_pem, ReadPem("certificate", files.certificate));
  ASSIGN_OR_RETURN(security.key_pem, ReadPem("key", files.key));
  security.server_name = files.server_name;
  ASSIGN_OR_RETURN(const std::string token_text, ReadPart("token", files.token_file));
  security.token =
      std::string(absl::StripAsciiWhitespace(files.token_file.empty() ? files.token : token_text));
  const bool printable = std::all_of(security.token.begin(), security.token.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  if (!printable || security.token.size() > kMaxTokenBytes) {
    return absl::InvalidArgumentError(absl::StrCat("token: expected at most ", kMaxTokenBytes,
                                                   " printable characters without spaces"));
  }
  if (!files.token_file.empty() && security.token.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("token: ", files.token_file, " is empty"));
  }
  return security;
}

std::string ExplainHandshake(absl::string_view library_message, const ClientSecurity& security) {
  const std::string text = absl::AsciiStrToLower(library_message);
  const auto has = [&text](absl::string_view part) { return absl::StrContains(text, part); };
  if (has("refused") || has("unreachable") || has("timed out") || has("name or service not") ||
      has("dns resolution failed") || has("domain name not found")) {
    return "";
  }
  if (!security.uses_tls()) {
    if (has("socket closed") || has("connection reset") || has("broken pipe") ||
        has("settings frame")) {
      return "the server ended the connection: does it want TLS? Give --tls-ca, --tls-cert and "
             "--tls-key";
    }
    return "";
  }
  if (has("wrong_version_number") || has("wrong version number")) {
    return "the server speaks no TLS at this port: leave out --tls-ca, or see listener.grpc_tls "
           "of its node.conf";
  }
  if (has("certificate_verify_failed") || has("certificate verify failed")) {
    return "the server's certificate is not good for us: is --tls-ca the authority that it comes "
           "from, has it expired, and is the clock right?";
  }
  if (has("peer name") || has("hostname verification") || has("not in peer certificate")) {
    return absl::StrCat(
        "the server's certificate is not for this name: connect by a name or address that it has, "
        "or give its node's name with --tls-server-name");
  }
  // With a pair that does not fit the library has no address left to try.
  if (has("no credentials") || has("invalid credentials") || has("security handshaker") ||
      has("empty address list")) {
    return "certificate, key or authority cannot be used: is --tls-key the key of --tls-cert?";
  }
  if (has("alert") || has("handshake failed") || has("socket closed") || has("reset") ||
      has("broken pipe") || has("ssl_error") || has("goaway")) {
    return security.certificate_pem.empty()
               ? "the server ended the handshake: it may want a certificate (--tls-cert, --tls-key)"
               : "the server ended the handshake: it may have refused the certificate of "
                 "--tls-cert, as expired, revoked or of another authority; its log says why";
  }
  return "";
}

}  // namespace om
