// How commands end: exit statuses, and errors as text and as JSON.
#ifndef OM_CLIENT_OMCTL_OUTCOME_H_
#define OM_CLIENT_OMCTL_OUTCOME_H_

#include <google/protobuf/message.h>
#include <grpcpp/support/status.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/omctl/omctl.h"

namespace om {

// A command ended: its exit status, and what to say on the error stream.
struct Failure {
  int exit_status = kExitError;
  std::string text;
  std::string json;
};

// Result of a command, or why it failed. Made from either without a word.
struct [[nodiscard]] Outcome {
  Outcome(int status) : exit_status(status) {}                                     // NOLINT
  Outcome(Failure why) : exit_status(why.exit_status), failure(std::move(why)) {}  // NOLINT
  int exit_status = kExitDone;
  std::optional<Failure> failure;
};

// What a call failed with.
Failure FailureOf(const grpc::Status& status);

// An error that no daemon sent. `code` is spelt as gRPC does.
Failure LocalFailure(int exit_status, absl::string_view code, absl::string_view message);
Failure LocalFailure(int exit_status, const absl::Status& status);

// The protobuf JSON mapping, with fields that are unset, except that bytes are shown as the text
// they are, not as base64; `pretty`: on several lines.
std::string ToJson(const google::protobuf::Message& message, bool pretty);

}  // namespace om

#endif  // OM_CLIENT_OMCTL_OUTCOME_H_
