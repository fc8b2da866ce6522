// Answers of the daemon as text for people.
#ifndef OM_CLIENT_OMCTL_RENDER_H_
#define OM_CLIENT_OMCTL_RENDER_H_

#include <map>
#include <string>

#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"
#include "om/control/v1/blacklist.pb.h"
#include "om/control/v1/common.pb.h"
#include "om/control/v1/daemon.pb.h"

namespace om {

struct RenderOptions {
  bool colour = false;
  absl::TimeZone zone = absl::UTCTimeZone();
};

absl::Time ToTime(const google::protobuf::Timestamp& time);
// `2026-11-22 18:00:00`.
std::string TimeText(const google::protobuf::Timestamp& time, const RenderOptions& options);

// `up`, `n/a`, `stdby down`; `-` if not told.
std::string StateText(om::control::v1::ResourceState state);
std::string StateText(om::control::v1::FrozenState state);
std::string StateText(om::control::v1::ThreadState state);

// The exit status of `omctl <svc> status`: what the legacy command line exits with.
int StateExitCode(om::control::v1::ResourceState state);

// Instance on one node in a few characters: `O` up, `X` down, `!` warn, `/` n/a, `S` standby up,
// `s` standby down, `?` not known; then `^` leader, `*` frozen, `P` not provisioned, and what the
// monitor does unless it is idle.
std::string InstanceText(const om::control::v1::InstanceStatus& instance);

// Orders in progress for a service, `-` if none.
std::string OrderText(const om::control::v1::ObjectStatus& object);

// What happened, where, about what, in one line; not yet fit for a terminal (Printable).
std::string EventSummary(const om::control::v1::Event& event);

// Cluster, threads, nodes and services.
std::string RenderStatus(const om::control::v1::GetStatusResponse& status,
                         const RenderOptions& options);

// One service with its instances and resources.
std::string RenderObject(const om::control::v1::ObjectStatus& object, const RenderOptions& options);

std::string RenderThreads(
    const google::protobuf::RepeatedPtrField<om::control::v1::ThreadStatus>& threads,
    const RenderOptions& options);
std::string RenderStats(const om::control::v1::GetStatsResponse& stats,
                        const RenderOptions& options);
std::string RenderBlacklist(
    const google::protobuf::RepeatedPtrField<om::control::v1::BlacklistEntry>& entries,
    const RenderOptions& options);

// A watch as lines. Remembers the line it wrote last about each thing, because a change also
// carries what has not changed in what is shown.
class WatchText {
 public:
  explicit WatchText(const RenderOptions& options) : options_(options) {}

  // The lines that a message is worth; empty for what only keeps the watch alive.
  std::string Render(const om::control::v1::WatchStatusResponse& message);

  // What was told is void: a state follows.
  void Forget() { last_.clear(); }

 private:
  const RenderOptions options_;
  // By kind and name; as many as the daemon knows objects, nodes and threads.
  std::map<std::string, std::string> last_;
};

}  // namespace om

#endif  // OM_CLIENT_OMCTL_RENDER_H_
