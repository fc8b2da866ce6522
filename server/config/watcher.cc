#include "server/config/watcher.h"

#include <sys/stat.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "server/base/status.h"

namespace om {

FileStamp StampOf(const std::string& path) {
  struct stat info = {};
  FileStamp stamp;
  if (stat(path.c_str(), &info) != 0) return stamp;
  stamp.exists = true;
  stamp.mtime = absl::TimeFromTimespec(info.st_mtim);
  stamp.inode = info.st_ino;
  stamp.size_bytes = info.st_size;
  return stamp;
}

// What one look at the files found.
struct ConfigWatcher::Look {
  bool known = false;  // False only before the first look.
  FileStamp node;
  FileStamp cluster;
  bool loaded = false;  // Something had changed, or the last loading is to be tried again.
  std::optional<absl::StatusOr<LoadedConfig>> config;
  bool retry = false;  // The disk failed, not the text.
};

// Outlives the watcher while work is under way. All of it but `options` belongs to the loop.
struct ConfigWatcher::Shared {
  Options options;
  Loop* loop = nullptr;          // Not owned.
  Executor* executor = nullptr;  // Not owned.
  bool running = false;
  bool looking = false;
  TimerId timer{};
  Look last;
  std::string reported_fault;
  std::shared_ptr<const LoadedConfig> in_force;
  Callback callback;
};

ConfigWatcher::ConfigWatcher(Options options, Loop* loop, Executor* executor)
    : shared_(std::make_shared<Shared>()) {
  shared_->options = std::move(options);
  shared_->loop = loop;
  shared_->executor = executor;
}

ConfigWatcher::~ConfigWatcher() { Stop(); }

void ConfigWatcher::Start(std::shared_ptr<const LoadedConfig> in_force, Callback callback) {
  DCHECK(shared_->loop->RunsHere());
  CHECK(!shared_->running);
  shared_->in_force = std::move(in_force);
  shared_->callback = std::move(callback);
  shared_->running = true;
  Arm(shared_);
}

void ConfigWatcher::Stop() {
  if (!shared_->running) return;
  DCHECK(shared_->loop->RunsHere());
  shared_->running = false;
  shared_->callback = nullptr;
  shared_->loop->Cancel(shared_->timer);
}

void ConfigWatcher::Arm(const std::shared_ptr<Shared>& shared) {
  shared->timer = shared->loop->PostAfter(shared->options.period, [shared]() { Tick(shared); });
}

void ConfigWatcher::Tick(const std::shared_ptr<Shared>& shared) {
  if (!shared->running) return;
  Arm(shared);
  if (shared->looking) return;
  Look previous;
  previous.known = shared->last.known;
  previous.node = shared->last.node;
  previous.cluster = shared->last.cluster;
  previous.retry = shared->last.retry;
  shared->looking = true;
  const bool posted = shared->executor->Post([shared, previous]() {
    auto look = std::make_shared<Look>(LookNow(shared->options, previous));
    // A loop that has ended has no use for the news.
    (void)shared->loop->Post([shared, look]() { Report(shared, std::move(*look)); });
  });
  // A full executor: the next tick tries again.
  if (!posted) shared->looking = false;
}

ConfigWatcher::Look ConfigWatcher::LookNow(const Options& options, const Look& previous) {
  Look look;
  look.known = true;
  // Before the reading: what changes after this is another stamp for the next look.
  look.node = options.stat(options.roots.NodeConf());
  look.cluster = options.stat(options.roots.ClusterConf());
  look.loaded = !previous.known || previous.retry || look.node != previous.node ||
                look.cluster != previous.cluster;
  if (!look.loaded) return look;
  look.config = LoadNodeConfig(options.roots, options.nodename, options.environment);
  look.retry = !look.config->ok() && !absl::IsInvalidArgument(look.config->status()) &&
               !absl::IsUnimplemented(look.config->status());
  return look;
}

void ConfigWatcher::Report(const std::shared_ptr<Shared>& shared, Look look) {
  shared->looking = false;
  if (!shared->running) return;
  const bool first = !shared->last.known;
  const bool stamps_changed =
      first || look.node != shared->last.node || look.cluster != shared->last.cluster;
  absl::StatusOr<LoadedConfig> config = absl::UnknownError("not loaded");
  if (look.config.has_value()) config = *std::move(look.config);
  look.config.reset();
  const bool loaded = look.loaded;
  shared->last = std::move(look);
  if (!loaded) return;

  absl::Status status = config.status();
  // A node cannot go on without its secret, and a generated one is a new cluster: a file that is
  // gone is being replaced, or lost.
  if (status.ok() && shared->in_force != nullptr &&
      !shared->in_force->settings.cluster_secret.empty() &&
      config->settings.cluster_secret.empty()) {
    status = WithField(
        absl::FailedPreconditionError(absl::StrCat(
            shared->options.roots.ClusterConf(),
            ": expected cluster.secret, found none; the last configuration stays in force")),
        "cluster.secret");
  }
  if (!status.ok()) {
    const std::string fault(status.message());
    if (!stamps_changed && fault == shared->reported_fault) return;
    shared->reported_fault = fault;
    shared->callback(status, shared->in_force);
    return;
  }
  // The first look has no stamps to compare with: the texts tell.
  const bool same_text =
      shared->in_force != nullptr &&
      config->documents.node.Text() == shared->in_force->documents.node.Text() &&
      config->documents.cluster.Text() == shared->in_force->documents.cluster.Text();
  const bool recovered = !shared->reported_fault.empty();
  shared->reported_fault.clear();
  if (first && same_text && !recovered) return;
  shared->in_force = std::make_shared<const LoadedConfig>(*std::move(config));
  // A copy: the callback may stop this watcher.
  const Callback callback = shared->callback;
  callback(absl::OkStatus(), shared->in_force);
}

}  // namespace om
