// Where things lie: the five roots of an installation and the well-known files below them.
#ifndef OM_SERVER_CONFIG_PATHS_H_
#define OM_SERVER_CONFIG_PATHS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace om {

// Directories without a slash at the end. Plain data, THREAD: any.
struct Roots {
  std::string etc;  // Configuration files.
  std::string var;  // State, sockets, locks.
  std::string log;
  std::string tmp;
  std::string lib;

  // /etc/opensvc, /var/lib/opensvc, /var/log/opensvc ...: shared with the legacy agent.
  static Roots Packaged();
  // `dir`/etc, `dir`/var, `dir`/log ...
  static Roots Under(absl::string_view dir);

  std::string NodeConf() const;     // <etc>/node.conf
  std::string ClusterConf() const;  // <etc>/cluster.conf

  std::string PidFile() const;         // <var>/osvcd.pid
  std::string LockDir() const;         // <var>/lock
  std::string DaemonLock() const;      // <var>/lock/osvcd.lock, flock held while a daemon runs
  std::string ConfigLock() const;      // <var>/lock/config.lock, flock held while one is rewritten
  std::string ListenerDir() const;     // <var>/lsnr
  std::string ListenerSocket() const;  // <var>/lsnr/lsnr.sock, clear JSON
  std::string GrpcSocket() const;      // <var>/lsnr/grpc.sock
  std::string LastBootId() const;      // <var>/last_boot_id
  std::string LastShutdown() const;    // <var>/last_shutdown, its mtime is the last clean exit
  std::string NodeStateDir() const;    // <var>/node
  std::string NodeFrozen() const;      // <var>/node/frozen, its mtime is since when
  std::string ListServices() const;    // <var>/list.services, for shell completion
  std::string ListNodes() const;       // <var>/list.nodes
  std::string OmdDir() const;          // <var>/omd: what only omd uses, journal included
  std::string NodeLog() const;         // <log>/node.log
};

}  // namespace om

#endif  // OM_SERVER_CONFIG_PATHS_H_
