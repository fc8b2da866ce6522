// Who we are, and tokens.
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/errors.h"
#include "client/omctl/arguments.h"
#include "client/omctl/commands.h"
#include "client/omctl/table.h"
#include "om/control/v1/auth.grpc.pb.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

void Omctl::DefineAuth() {
  CLI::App* auth = Group(&app_, "auth", "Who we are to the daemon, and tokens",
                         "Examples:\n"
                         "  omctl auth whoami\n"
                         "  omctl auth token --user alice --lifetime 8h > token\n"
                         "  omctl auth revoke-tokens --user alice");
  Define(auth, "whoami", "Tells whom the daemon takes us for", [this] {
    return AuthWhoAmI();
  })->footer("Example:\n  omctl --server n1:1216 --tls-ca ca.crt --token-file token auth whoami");
  CLI::App* token = Define(auth, "token", "Makes a token for a user and prints it alone",
                           [this] { return AuthToken(); });
  token->add_option("--user", args_.user, "Name of system/usr/<name> (default: ourselves)")
      ->type_name("USER");
  token->add_option("--lifetime", args_.lifetime, "1m to 366d (default: 1h)")
      ->type_name("DURATION")
      ->check(CLI::Validator(
          [](std::string& text) {
            const absl::StatusOr<absl::Duration> lifetime = ParseDurationArgument(text);
            return lifetime.ok() ? std::string() : std::string(lifetime.status().message());
          },
          ""));
  token
      ->add_option("--grants", args_.grants,
                   "What it gives at most, as the keyword grant says it (default: all that the "
                   "user holds now)")
      ->type_name("GRANTS");
  token->footer(
      "Whoever has the token is that user: keep it as a password. It is shown once.\n"
      "\n"
      "Examples:\n"
      "  omctl auth token --user alice --lifetime 8h > token\n"
      "  omctl auth token --user ci --lifetime 30d --grants 'operator:ns1' > token");
  CLI::App* revoke =
      Define(auth, "revoke-tokens", "Makes every token worthless that a user has got until now",
             [this] { return AuthRevokeTokens(); });
  revoke->add_option("--user", args_.user, "Name of system/usr/<name> (default: ourselves)")
      ->type_name("USER");
  revoke->footer("Example:\n  omctl auth revoke-tokens --user alice");
  CLI::App* rotate = Define(auth, "rotate-keys", "Signs tokens with a new key from now on",
                            [this] { return AuthRotateKeys(); });
  rotate
      ->add_option("--keep", args_.keep,
                   "Keys before it whose tokens stay good: 0 to 3 (default: 1); 0 makes all tokens "
                   "worthless")
      ->type_name("COUNT");
  rotate->footer("Example:\n  omctl auth rotate-keys --keep 0");
}

Outcome Omctl::AuthWhoAmI() {
  if (auto failure = Connect()) return *std::move(failure);
  WhoAmIResponse response;
  const grpc::Status status =
      Read(NewStub<AuthService>().get(), &AuthService::Stub::WhoAmI, {}, &response);
  if (!status.ok()) return FailureOf(status);
  TextTable table;
  table.AddRow({"kind", response.kind()});
  if (!response.name().empty()) table.AddRow({"name", response.name()});
  table.AddRow({"grants", response.grants().empty() ? "-" : response.grants()});
  if (!response.credential().empty()) table.AddRow({"credential", response.credential()});
  if (response.has_expire_time()) {
    table.AddRow({"ends", TimeText(response.expire_time(), render())});
  }
  table.AddRow({"address", response.address()});
  table.AddRow({"node", response.node()});
  return Print(response, table.Render(render().colour));
}

Outcome Omctl::AuthToken() {
  if (auto failure = Connect()) return *std::move(failure);
  CreateTokenRequest request;
  request.set_user(args_.user);
  request.set_grants(args_.grants);
  if (!args_.lifetime.empty()) {
    // The parser has checked it.
    request.mutable_lifetime()->set_seconds(
        absl::ToInt64Seconds(*ParseDurationArgument(args_.lifetime)));
  }
  CreateTokenResponse response;
  const grpc::Status status =
      Read(NewStub<AuthService>().get(), &AuthService::Stub::CreateToken, request, &response);
  if (!status.ok()) return FailureOf(status);
  // Alone on the output, so that it can go straight into a file.
  if (!json()) {
    *env_.err << "omctl: token " << Printable(response.id()) << " of " << Printable(response.user())
              << " ends " << TimeText(response.expire_time(), render()) << "\n";
  }
  return Print(response, absl::StrCat(Printable(response.token()), "\n"));
}

Outcome Omctl::AuthRevokeTokens() {
  if (auto failure = Connect()) return *std::move(failure);
  RevokeTokensRequest request;
  request.set_user(args_.user);
  RevokeTokensResponse response;
  const grpc::Status status =
      Change(NewStub<AuthService>().get(), &AuthService::Stub::RevokeTokens, request, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response, absl::StrCat("tokens made before ",
                                      TimeText(response.valid_from(), render()), " are revoked\n"));
}

Outcome Omctl::AuthRotateKeys() {
  if (auto failure = Connect()) return *std::move(failure);
  RotateTokenKeysRequest request;
  request.set_keep_count(args_.keep);
  RotateTokenKeysResponse response;
  const grpc::Status status =
      Change(NewStub<AuthService>().get(), &AuthService::Stub::RotateTokenKeys, request, &response);
  if (!status.ok()) return FailureOf(status);
  std::string text;
  for (int i = 0; i < response.key_ids_size(); ++i) {
    absl::StrAppend(&text, Printable(response.key_ids(i)), i == 0 ? "  signs\n" : "  still good\n");
  }
  return Print(response, text);
}

}  // namespace om
