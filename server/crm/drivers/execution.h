// How the programs of a resource are run: their environment, credentials, limits and time, and
// where their output goes.
#ifndef OM_SERVER_CRM_DRIVERS_EXECUTION_H_
#define OM_SERVER_CRM_DRIVERS_EXECUTION_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/crm/drivers/driver.h"
#include "server/crm/drivers/program.h"

namespace om {

// Replaces or adds a variable of an environment.
void SetVariable(std::vector<std::string>* environment, absl::string_view name,
                 absl::string_view value);

// The name of a file without its directories.
std::string BaseName(absl::string_view path);

// A variable that a resource's programs get.
struct Variable {
  std::string name;   // Upper-cased.
  std::string value;  // SECRET where `held`.
  bool held = false;  // By an object: it belongs in environments, not on command lines or in logs.
};

// What `environment`, `configs_environment` and `secrets_environment` of the resource say.
// INVALID_ARGUMENT names keyword and word; NOT_FOUND names object and key.
absl::StatusOr<std::vector<Variable>> ConfiguredVariables(const Instance& instance,
                                                          const ResourceSettings& resource);

// The first of the duration keywords that is set and not zero; nullopt if none is.
absl::StatusOr<std::optional<std::chrono::milliseconds>> FirstTimeout(
    const Instance& instance, const ResourceSettings& resource,
    const std::vector<absl::string_view>& keywords);

// What `argv` is to be run with for that resource: the instance's environment, OPENSVC_RID and the
// configured variables; the user that owns the program, else `user` and `group`; `cwd`, `umask`,
// `limit_*`; the first of `timeouts` that is set.
absl::StatusOr<ProgramSpec> MakeProgramSpec(const Instance& instance,
                                            const ResourceSettings& resource,
                                            std::vector<std::string> argv,
                                            const std::vector<absl::string_view>& timeouts);

// Sends what a program writes to the log of the resource, line by line.
void LogOutput(const Instance& instance, const ResourceSettings& resource, ProgramSpec* spec);

// What a program of the host (ip, docker ...) did and wrote.
struct ToolOutput {
  ProgramResult result;
  std::string out;
  std::string err;

  // The last line of standard error, or what became of it: for error messages.
  std::string Reason() const;
};

// Runs a program of the host as ourselves, with the instance's environment and `variables`, for at
// most `limit`. What it writes is returned, up to kMaxOutputBytes. NOT_FOUND: there is no such
// program.
absl::StatusOr<ToolOutput> RunTool(const Instance& instance, const std::vector<std::string>& argv,
                                   std::chrono::milliseconds limit,
                                   const std::vector<Variable>& variables = {});

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_EXECUTION_H_
