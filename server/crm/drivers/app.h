// What the app drivers share: keywords, environment, credentials, running their commands.
#ifndef OM_SERVER_CRM_DRIVERS_APP_H_
#define OM_SERVER_CRM_DRIVERS_APP_H_

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/crm/drivers/driver.h"
#include "server/crm/drivers/instance_lock.h"
#include "server/crm/drivers/program.h"

namespace om {

// Base of app.forking and app.simple.
class App : public ResourceDriver {
 public:
  App(const Instance* instance, const ResourceSettings* resource, absl::string_view type)
      : ResourceDriver(instance, resource), type_(type) {}

  std::string Type() const override { return "app." + type_; }
  std::string Label() const override;
  // An integer `start` orders the app among its like.
  std::string SortKey() const override;
  absl::StatusOr<Availability> Status(StatusLog* log) override;
  // Lines "key: value" of the info command.
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Info() override;
  bool NeedsHostResources() const override { return true; }

 protected:
  // How long an app may still show as up once what stops it has been done.
  static constexpr std::chrono::milliseconds kStopGrace = std::chrono::seconds(5);
  static constexpr std::chrono::milliseconds kPoll = std::chrono::milliseconds(50);

  // A command of the configuration.
  struct Command {
    std::vector<std::string> argv;
    std::string text;  // What a process running it shows as its command line.
  };

  // The command of `keyword` (start, stop, check, info); `verb` is what the script is given
  // instead. nullopt: not implemented.
  absl::StatusOr<std::optional<Command>> FindCommand(absl::string_view keyword,
                                                     absl::string_view verb) const;
  // What `command` is to be run with, the first of `timeouts` that is set included.
  absl::StatusOr<ProgramSpec> MakeSpec(const Command& command,
                                       const std::vector<absl::string_view>& timeouts) const;
  // Runs it, its output in the log.
  absl::StatusOr<ProgramResult> RunLogged(const Command& command,
                                          const std::vector<absl::string_view>& timeouts) const;
  // The answer of the `check` command; nullopt if there is none.
  absl::StatusOr<std::optional<Availability>> RunCheck(StatusLog* log) const;
  // The state, whoever holds the app's lock.
  virtual absl::StatusOr<Availability> Check(StatusLog* log) = 0;
  // Checks until it is down, or has nothing to tell, or `limit` has passed: then ABORTED, as what
  // may still be up must never be taken for stopped: another node may start it next.
  absl::Status AwaitDown(std::chrono::milliseconds limit);
  // Held during each action, so that a status taken meanwhile knows.
  absl::StatusOr<InstanceLock> Lock(absl::string_view intent) const;
  std::chrono::milliseconds StopGrace() const;

 private:
  absl::StatusOr<std::optional<std::string>> Keyword(absl::string_view keyword) const {
    return instance().settings.Get(resource().rid, keyword);
  }
  absl::StatusOr<std::string> Script() const;

  const std::string type_;
};

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_APP_H_
