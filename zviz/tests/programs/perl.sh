perl -MPOSIX -MFile::Temp=tempfile -MIO::Socket::INET -we '
use strict; use threads;
my $listen = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die $@;
if (my $pid = fork) { my $peer = $listen->accept; print $peer "hello\n"; close $peer; waitpid $pid, 0; die $? if $? }
else { my $to = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $listen->sockport) or die $@; exit(<$to> eq "hello\n" ? 0 : 1) }
my ($file, $name) = tempfile(DIR => "."); print $file "x"; close $file; rename $name, "renamed" or die $!; unlink "renamed" or die $!;
die unless `echo child` eq "child\n"; die unless (POSIX::uname())[0] eq "Linux"; die if $> != getuid();
print "done\n";'
