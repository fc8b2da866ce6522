#include "server/config/paths.h"

#include "absl/strings/str_cat.h"

namespace om {

Roots Roots::Packaged() {
  return {"/etc/opensvc", "/var/lib/opensvc", "/var/log/opensvc", "/var/tmp/opensvc",
          "/usr/share/opensvc/lib"};
}

Roots Roots::Under(absl::string_view dir) {
  while (dir.size() > 1 && dir.back() == '/') dir.remove_suffix(1);
  const std::string base = dir == "/" ? "" : std::string(dir);
  return {absl::StrCat(base, "/etc"), absl::StrCat(base, "/var"), absl::StrCat(base, "/log"),
          absl::StrCat(base, "/tmp"), absl::StrCat(base, "/lib")};
}

std::string Roots::NodeConf() const { return absl::StrCat(etc, "/node.conf"); }
std::string Roots::ClusterConf() const { return absl::StrCat(etc, "/cluster.conf"); }
std::string Roots::PidFile() const { return absl::StrCat(var, "/osvcd.pid"); }
std::string Roots::LockDir() const { return absl::StrCat(var, "/lock"); }
std::string Roots::DaemonLock() const { return absl::StrCat(var, "/lock/osvcd.lock"); }
std::string Roots::ConfigLock() const { return absl::StrCat(var, "/lock/config.lock"); }
std::string Roots::ListenerDir() const { return absl::StrCat(var, "/lsnr"); }
std::string Roots::ListenerSocket() const { return absl::StrCat(var, "/lsnr/lsnr.sock"); }
std::string Roots::GrpcSocket() const { return absl::StrCat(var, "/lsnr/grpc.sock"); }
std::string Roots::LastBootId() const { return absl::StrCat(var, "/last_boot_id"); }
std::string Roots::LastShutdown() const { return absl::StrCat(var, "/last_shutdown"); }
std::string Roots::NodeStateDir() const { return absl::StrCat(var, "/node"); }
std::string Roots::NodeFrozen() const { return absl::StrCat(var, "/node/frozen"); }
std::string Roots::ListServices() const { return absl::StrCat(var, "/list.services"); }
std::string Roots::ListNodes() const { return absl::StrCat(var, "/list.nodes"); }
std::string Roots::OmdDir() const { return absl::StrCat(var, "/omd"); }
std::string Roots::NodeLog() const { return absl::StrCat(log, "/node.log"); }

}  // namespace om
