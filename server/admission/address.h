// Addresses of peers, and what they are grouped by when admission counts them.
#ifndef OM_SERVER_ADMISSION_ADDRESS_H_
#define OM_SERVER_ADMISSION_ADDRESS_H_

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

// An IP address without port. An IPv4-mapped IPv6 address (::ffff:10.0.0.1) is that IPv4 address,
// so one peer is one address whatever kind of socket it came in on. The scope of a link-local
// address is not kept. A value type; the default one is 0.0.0.0.
class PeerAddress {
 public:
  PeerAddress() = default;

  // INVALID_ARGUMENT for families other than AF_INET and AF_INET6, or a `length` too short.
  static absl::StatusOr<PeerAddress> FromSockaddr(const sockaddr* address, socklen_t length);
  // Numeric text: "10.0.0.1", "2001:db8::1", "fe80::1%eth0". Names are not resolved.
  static absl::StatusOr<PeerAddress> Parse(absl::string_view text);

  bool is_ipv4() const;
  // The 16 bytes in network order; an IPv4 address in its mapped form.
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  std::string ToString() const;

  friend bool operator==(const PeerAddress& a, const PeerAddress& b) {
    return a.bytes_ == b.bytes_;
  }
  template <class H>
  friend H AbslHashValue(H state, const PeerAddress& address) {
    return H::combine(std::move(state), address.bytes_);
  }

 private:
  explicit PeerAddress(const std::array<uint8_t, 16>& bytes) : bytes_(bytes) {}
  friend class AdmissionKey;

  std::array<uint8_t, 16> bytes_ = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
};

// What misbehaviour is counted against: an IPv4 address whole; an IPv6 address whole if it is a
// cluster node's; otherwise the /64 it lies in, because whoever has one address there has all.
class AdmissionKey {
 public:
  // 0.0.0.0.
  AdmissionKey() = default;
  AdmissionKey(const PeerAddress& address, bool is_cluster_node);

  // Whether it stands for a whole /64.
  bool is_network() const { return is_network_; }
  // The address; for a network its first one.
  const PeerAddress& address() const { return address_; }
  // "10.0.0.1", "2001:db8::1", "2001:db8::/64".
  std::string ToString() const;

  friend bool operator==(const AdmissionKey& a, const AdmissionKey& b) {
    return a.is_network_ == b.is_network_ && a.address_ == b.address_;
  }
  template <class H>
  friend H AbslHashValue(H state, const AdmissionKey& key) {
    return H::combine(std::move(state), key.address_, key.is_network_);
  }

 private:
  PeerAddress address_;
  bool is_network_ = false;
};

}  // namespace om

#endif  // OM_SERVER_ADMISSION_ADDRESS_H_
