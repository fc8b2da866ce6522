// Whom a client believes, and what it shows of itself.
#ifndef OM_CLIENT_CLIENT_SECURITY_H_
#define OM_CLIENT_CLIENT_SECURITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

// A value; the default is neither TLS nor a token.
struct ClientSecurity {
  // PEM of the authorities that a server's certificate must come from. Empty: no TLS.
  std::string authority_pem;
  // PEM of our certificate and its key. Both or neither.
  std::string certificate_pem;
  std::string key_pem;  // SECRET.
  // The name that the server's certificate must have. Empty: the host that is connected to.
  std::string server_name;
  // SECRET. Bearer token, sent with every call. Empty: none.
  std::string token;

  bool uses_tls() const { return !authority_pem.empty(); }
};

// Where the parts of it are; what is empty is not there.
struct SecurityFiles {
  std::string authority;
  std::string certificate;
  std::string key;
  std::string server_name;
  std::string token;  // SECRET. The token itself.
  std::string token_file;
};

// Reads the files. INVALID_ARGUMENT for parts that do not go together: a certificate without key or
// authority, two tokens, or one that no header can hold. Errors name files and never hold what they
// say. Blocks.
absl::StatusOr<ClientSecurity> LoadClientSecurity(const SecurityFiles& files);

// What to look at when a connection over TLS (or, without, one to a server that wants TLS) came to
// nothing, by what the library says of it; empty if that says nothing of TLS.
std::string ExplainHandshake(absl::string_view library_message, const ClientSecurity& security);

}  // namespace om

#endif  // OM_CLIENT_CLIENT_SECURITY_H_
