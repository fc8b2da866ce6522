// The certificate and key that the gRPC port serves, and what it trusts: read, checked, published.
#ifndef OM_SERVER_RPC_TLS_FILES_H_
#define OM_SERVER_RPC_TLS_FILES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/auth/key_pair_loader.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/mutex.h"
#include "server/config/watcher.h"

namespace om {

// What is in force. Immutable.
struct TlsState {
  bool serving = false;    // A pair was published: handshakes can succeed.
  std::string problem;     // Why the files are not what is served; empty: they are.
  absl::Time expire_time;  // Of what is served: certificate, authority or list, the earliest.
  std::vector<std::string> revoked;  // Serials; sorted.

  bool IsRevoked(absl::string_view serial) const;
};

// Files that change are checked together before they take effect: what does not fit, or is written
// half, leaves in force what was there before; a good revocation list counts even then. gRPC reads
// what is published in `dir`. THREAD: any; only Refresh() blocks.
class TlsFiles {
 public:
  struct Options {
    KeyPairPaths files;
    std::string dir;  // Private to the daemon: <var>/omd/tls.
  };
  // Borrowed.
  TlsFiles(Options options, const Clock* clock, Counters* counters);

  // Looks at the files, and publishes them if they have changed and are good. What was published
  // before a restart is served on while the files are not good. True if the state has changed.
  // Blocks. One at a time.
  bool Refresh() EXCLUDES(mutex_);

  std::shared_ptr<const TlsState> state() const EXCLUDES(mutex_);

  // Where gRPC finds the pair in force.
  std::string Published(absl::string_view file) const;  // "tls.crt", "tls.key", "ca.crt"

 private:
  std::vector<FileStamp> Stamps() const;

  const Options options_;
  const Clock* const clock_;  // Not owned.
  Counter* const reloads_;
  Counter* const refusals_;
  std::vector<FileStamp> stamps_;  // Of what was read last; of Refresh() alone.
  mutable Mutex mutex_;
  std::shared_ptr<const TlsState> state_ GUARDED_BY(mutex_) = std::make_shared<const TlsState>();
};

}  // namespace om

#endif  // OM_SERVER_RPC_TLS_FILES_H_
