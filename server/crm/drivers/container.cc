// container of type docker and podman, through their command lines: one implementation, as they
// take the same words and answer alike.
#include <unistd.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/status.h"
#include "server/crm/drivers/container_arguments.h"
#include "server/crm/drivers/driver.h"
#include "server/crm/drivers/execution.h"
#include "server/crm/drivers/object_keys.h"

namespace om {
namespace {

using std::chrono::milliseconds;

// Questions and removals take no longer where the engine works at all.
constexpr milliseconds kToolLimit(30'000);
// What an engine needs to kill what has not stopped in time.
constexpr milliseconds kKillGrace(30'000);
constexpr milliseconds kPoll(100);

// What the engine says of a container.
struct Container {
  std::string state;  // "running", "exited", "paused" ...
  bool running = false;
  bool paused = false;
  int64_t exit_code = 0;
  std::string image;
  std::string id_label;  // Whose it is; empty: it does not say.
  bool privileged = false;
  bool interactive = false;
  bool tty = false;
};

const Json& Member(const Json& json, const char* key) {
  static const Json* const null = new Json();
  if (!json.is_object()) return *null;
  const auto it = json.find(key);
  return it == json.end() ? *null : *it;
}
std::string TextOf(const Json& json) { return json.is_string() ? json.get<std::string>() : ""; }
bool IsTrue(const Json& json) { return json.is_boolean() && json.get<bool>(); }

absl::StatusOr<Container> ParseInspect(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  if (!json.is_array() || json.size() != 1 || !json[0].is_object()) {
    return absl::InternalError("expected one container");
  }
  const Json& state = Member(json[0], "State");
  const Json& config = Member(json[0], "Config");
  Container container;
  container.state = TextOf(Member(state, "Status"));
  container.paused = IsTrue(Member(state, "Paused")) || container.state == "paused";
  container.running = IsTrue(Member(state, "Running")) && !container.paused;
  if (const Json& code = Member(state, "ExitCode"); code.is_number_integer()) {
    container.exit_code = code.get<int64_t>();
  }
  // podman completes the name in Config.Image and keeps it there.
  container.image = TextOf(Member(config, "Image"));
  container.id_label = TextOf(Member(Member(config, "Labels"), kContainerIdLabel));
  container.privileged = IsTrue(Member(Member(json[0], "HostConfig"), "Privileged"));
  container.interactive = IsTrue(Member(config, "OpenStdin"));
  container.tty = IsTrue(Member(config, "Tty"));
  return container;
}

// Whether the engine's name of an image is that of the configuration: it may add registry and tag.
bool SameImage(absl::string_view engine, absl::string_view configured) {
  const auto ends = [&](const std::string& name) {
    return engine == name || absl::EndsWith(engine, absl::StrCat("/", name));
  };
  return ends(std::string(configured)) || ends(absl::StrCat(configured, ":latest"));
}

// A command line for the log: the values of variables may be passwords.
std::string Shown(std::vector<std::string> words) {
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    if (words[i - 1] == "-e" && equals != std::string::npos)
      words[i].replace(equals + 1, words[i].npos, "...");
  }
  return absl::StrJoin(words, " ");
}

class ContainerDriver final : public ResourceDriver {
 public:
  ContainerDriver(const Instance* instance, const ResourceSettings* resource, std::string tool)
      : ResourceDriver(instance, resource), tool_(std::move(tool)) {}

  std::string Type() const override { return absl::StrCat("container.", tool_); }
  std::string Label() const override {
    const auto image = Keyword("image");
    return absl::StrCat(tool_, " ", image.ok() ? *image : "");
  }

  absl::StatusOr<bool> Start() override {
    ASSIGN_OR_RETURN(const RunArguments arguments, MakeRunArguments(instance(), resource()));
    ASSIGN_OR_RETURN(const std::string name, ContainerName(instance(), resource()));
    ASSIGN_OR_RETURN(std::optional<Container> container, Inspect(name));
    if (container.has_value()) RETURN_IF_ERROR(CheckOurs(name, *container));
    if (container.has_value() && container->running) {
      Log(InstanceLog::Level::kInfo, "already up");
      return false;
    }
    ASSIGN_OR_RETURN(const milliseconds limit, Timeout("start_timeout"));
    if (container.has_value() && container->paused) {
      RETURN_IF_ERROR(Change({"unpause", name}, limit));
    } else if (container.has_value() && !arguments.remove) {
      RETURN_IF_ERROR(Change({"start", name}, limit));
    } else {
      // A container that is to be gone once it has stopped may have been left by a crash.
      if (container.has_value()) RETURN_IF_ERROR(Change({"rm", name}, kToolLimit));
      RETURN_IF_ERROR(Pull());
      const absl::Status ran = Change(arguments.words, limit, arguments.variables);
      if (!ran.ok()) {
        CleanUp(name);
        return ran;
      }
    }
    // It has run to its end, and well.
    if (!arguments.detach) return true;
    const absl::Status running = AwaitRunning(name, limit);
    if (!running.ok()) {
      CleanUp(name);
      return running;
    }
    return true;
  }

  absl::Status Stop() override {
    ASSIGN_OR_RETURN(const std::string name, ContainerName(instance(), resource()));
    ASSIGN_OR_RETURN(std::optional<Container> container, Inspect(name));
    if (container.has_value() && !IsOurs(*container)) {
      Log(InstanceLog::Level::kInfo, CheckOurs(name, *container).message());
      return absl::OkStatus();
    }
    if (!container.has_value() || (!container->running && !container->paused)) {
      Log(InstanceLog::Level::kInfo, "already down");
    } else {
      ASSIGN_OR_RETURN(const milliseconds limit, Timeout("stop_timeout"));
      absl::Status stopped =
          Change({"stop", "-t", absl::StrCat(limit.count() / 1000), name}, limit + kKillGrace);
      if (absl::IsCancelled(stopped)) return stopped;
      // What counts is what became of it.
      ASSIGN_OR_RETURN(container, Inspect(name));
      if (container.has_value() && (container->running || container->paused)) {
        return stopped.ok()
                   ? absl::AbortedError(absl::StrCat(
                         "stop: container ", name, " was stopped and is still ", container->state))
                   : Annotate(stopped, "stop");
      }
    }
    ASSIGN_OR_RETURN(const bool remove, instance().settings.GetBoolean(resource().rid, "rm"));
    if (remove && container.has_value()) return Remove(name);
    return absl::OkStatus();
  }

  absl::StatusOr<Availability> Status(StatusLog* log) override {
    ASSIGN_OR_RETURN(const std::string name, ContainerName(instance(), resource()));
    ASSIGN_OR_RETURN(const std::optional<Container> container, Inspect(name));
    if (!container.has_value()) return Availability::kDown;
    if (!IsOurs(*container)) {
      log->emplace_back("warn", std::string(CheckOurs(name, *container).message()));
      return Availability::kDown;
    }
    if (container->paused) {
      log->emplace_back("warn", absl::StrCat("container ", name, " is paused"));
      return Availability::kWarn;
    }
    if (!container->running) {
      if (container->state == "restarting" || container->state == "stopping") {
        log->emplace_back("warn", absl::StrCat("container ", name, " is ", container->state));
        return Availability::kWarn;
      }
      return Availability::kDown;
    }
    RETURN_IF_ERROR(Compare(*container, log));
    return Availability::kUp;
  }

  absl::Status Provision() override { return Pull(); }

  absl::Status Unprovision() override {
    ASSIGN_OR_RETURN(const std::string name, ContainerName(instance(), resource()));
    ASSIGN_OR_RETURN(const std::optional<Container> container, Inspect(name));
    if (!container.has_value() || !IsOurs(*container)) return absl::OkStatus();
    return Remove(name);
  }

  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Info() override {
    ASSIGN_OR_RETURN(const std::string name, ContainerName(instance(), resource()));
    ASSIGN_OR_RETURN(const std::string image, Keyword("image"));
    ASSIGN_OR_RETURN(const std::string run_args, Keyword("run_args"));
    std::vector<std::pair<std::string, std::string>> pairs = {{"name", name}, {"image", image}};
    if (!run_args.empty()) pairs.emplace_back("run_args", run_args);
    return pairs;
  }

 private:
  absl::StatusOr<std::string> Keyword(absl::string_view keyword) const {
    ASSIGN_OR_RETURN(const std::optional<std::string> value,
                     instance().settings.Get(resource().rid, keyword));
    return value.value_or("");
  }

  // All of them have a default.
  absl::StatusOr<milliseconds> Timeout(absl::string_view keyword) const {
    ASSIGN_OR_RETURN(const std::optional<milliseconds> timeout,
                     FirstTimeout(instance(), resource(), {keyword}));
    return timeout.value_or(kToolLimit);
  }

  absl::StatusOr<ToolOutput> Ask(std::vector<std::string> words, milliseconds limit,
                                 const std::vector<Variable>& variables = {}) const {
    words.insert(words.begin(), tool_);
    return RunTool(instance(), words, limit, variables);
  }

  // Runs what changes something; what it writes goes to the log.
  absl::Status Change(const std::vector<std::string>& words, milliseconds limit,
                      const std::vector<Variable>& variables = {}) const {
    Log(InstanceLog::Level::kInfo, absl::StrCat("exec ", tool_, " ", Shown(words)));
    ASSIGN_OR_RETURN(const ToolOutput output, Ask(words, limit, variables));
    for (const auto& [text, level] :
         {std::make_pair(&output.out, InstanceLog::Level::kInfo),
          std::make_pair(&output.err, output.result.Succeeded() ? InstanceLog::Level::kInfo
                                                                : InstanceLog::Level::kWarning)}) {
      for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipWhitespace())) {
        Log(level, absl::StrCat("| ", line));
      }
    }
    if (output.result.Succeeded()) return absl::OkStatus();
    return absl::AbortedError(absl::StrCat(tool_, " ", words.front(), ": ", output.Reason()));
  }

  // nullopt: there is no such container. An engine that does not answer is an error: whether the
  // container runs cannot be told then.
  absl::StatusOr<std::optional<Container>> Inspect(const std::string& name) const {
    ASSIGN_OR_RETURN(const ToolOutput output, Ask({"container", "inspect", name}, kToolLimit));
    if (!output.result.Succeeded()) {
      const std::string error = absl::AsciiStrToLower(output.err);
      if (absl::StrContains(error, "no such container") ||
          absl::StrContains(error, "no container with name")) {
        return std::optional<Container>();
      }
      return absl::UnavailableError(absl::StrCat(tool_, " inspect: ", output.Reason()));
    }
    absl::StatusOr<Container> container = ParseInspect(output.out);
    if (!container.ok()) return Annotate(container.status(), absl::StrCat(tool_, " inspect"));
    return std::optional<Container>(*std::move(container));
  }

  // One without label was made by hand, under the name that the configuration gives.
  bool IsOurs(const Container& container) const {
    return container.id_label.empty() || container.id_label == ContainerId(instance(), resource());
  }
  absl::Status CheckOurs(absl::string_view name, const Container& container) const {
    if (IsOurs(container)) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("container ", name, " belongs to another resource (", kContainerIdLabel, "=",
                     container.id_label, ")"));
  }

  absl::Status Compare(const Container& container, StatusLog* log) const {
    ASSIGN_OR_RETURN(const std::string image, Keyword("image"));
    // An image may also be named by its id, which tells nothing here.
    const bool named = absl::StrContains(image, ':') || absl::StrContains(image, '/');
    if (named && !container.image.empty() && !SameImage(container.image, image)) {
      log->emplace_back("warn",
                        absl::StrCat("current image ", container.image, ", expected ", image));
    }
    for (const auto& [keyword, current] : {std::make_pair("privileged", container.privileged),
                                           std::make_pair("interactive", container.interactive),
                                           std::make_pair("tty", container.tty)}) {
      ASSIGN_OR_RETURN(const bool wanted, instance().settings.GetBoolean(resource().rid, keyword));
      // run_args may ask for more than the keywords do.
      if (wanted && !current) {
        log->emplace_back("warn", absl::StrCat("current ", keyword, " false, expected true"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Pull() const {
    ASSIGN_OR_RETURN(const std::string image, Keyword("image"));
    if (image.empty() || image[0] == '-') {
      return absl::InvalidArgumentError(
          absl::StrCat(resource().rid, ".image: expected an image, found \"", image, "\""));
    }
    ASSIGN_OR_RETURN(const std::string policy, Keyword("image_pull_policy"));
    if (policy != "always") {
      ASSIGN_OR_RETURN(const ToolOutput present, Ask({"image", "inspect", image}, kToolLimit));
      if (present.result.Succeeded()) return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const milliseconds limit, Timeout("pull_timeout"));
    ASSIGN_OR_RETURN(const std::string credentials, Keyword("registry_creds"));
    if (credentials.empty()) return Change({"pull", image}, limit);
    absl::StatusOr<std::string> login =
        ReadObjectKey(instance(), "sec", absl::StrCat(credentials, "/config.json"));
    if (!login.ok()) {
      return Annotate(login.status(), absl::StrCat(resource().rid, ".registry_creds"));
    }
    // The programs take it from a file only: one that nobody else reads, and not for long.
    const std::string directory = absl::StrCat(instance().ResourceDir(resource().rid), "/registry");
    const std::string file = absl::StrCat(directory, "/config.json");
    RETURN_IF_ERROR(MakeDirectories(directory, 0700));
    WriteOptions options;
    options.mode = 0600;
    options.sync = false;
    absl::Status status = WriteFileAtomically(file, *login, options);
    if (status.ok()) {
      status = tool_ == "podman" ? Change({"pull", "--authfile", file, image}, limit)
                                 : Change({"--config", directory, "pull", image}, limit);
    }
    const absl::Status removed = RemoveFile(file);
    if (status.ok()) status = removed;
    rmdir(directory.c_str());
    return status;
  }

  absl::Status Remove(const std::string& name) const {
    absl::Status removed = Change({"rm", name}, kToolLimit);
    if (removed.ok()) return removed;
    // With --rm the engine is removing it itself.
    ASSIGN_OR_RETURN(const std::optional<Container> left, Inspect(name));
    return left.has_value() ? removed : absl::OkStatus();
  }

  absl::Status AwaitRunning(const std::string& name, milliseconds limit) const {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<Container> container, Inspect(name));
      if (container.has_value() && container->running) return absl::OkStatus();
      if (!container.has_value() || container->state == "exited" || container->state == "dead") {
        return absl::AbortedError(absl::StrCat(
            "start: container ", name, " has ended",
            container.has_value() ? absl::StrCat(" with exit code ", container->exit_code) : ""));
      }
      if (std::chrono::steady_clock::now() >= deadline) {
        return absl::AbortedError(absl::StrCat("start: container ", name, " is ", container->state,
                                               " after ", limit.count() / 1000, " s"));
      }
      if (!instance().interrupt->Sleep(kPoll)) return instance().interrupt->ToStatus();
    }
  }

  // After a failed start nothing may be left running: the engine may still be at it though its
  // command line has given up.
  void CleanUp(const std::string& name) const {
    // What was interrupted is still undone; a second signal ends that, too.
    instance().interrupt->Clear();
    const absl::StatusOr<std::optional<Container>> left = Inspect(name);
    if (!left.ok() || !left->has_value() || !IsOurs(**left)) return;
    if (!(*left)->running && !(*left)->paused) return;
    const absl::Status stopped = Change({"stop", "-t", "10", name}, kToolLimit);
    if (!stopped.ok()) Log(InstanceLog::Level::kError, stopped.message());
  }

  const std::string tool_;
};

}  // namespace

std::unique_ptr<ResourceDriver> MakeDocker(const Instance* instance,
                                           const ResourceSettings* resource) {
  return std::make_unique<ContainerDriver>(instance, resource, "docker");
}

std::unique_ptr<ResourceDriver> MakePodman(const Instance* instance,
                                           const ResourceSettings* resource) {
  return std::make_unique<ContainerDriver>(instance, resource, "podman");
}

}  // namespace om
