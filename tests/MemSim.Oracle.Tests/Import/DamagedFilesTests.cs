using FluentAssertions;
using MemSim.Captures;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Import;

public class DamagedFilesTests
{
    [Fact]
    public void Damaged_recordings_are_read_or_refused_but_never_crash_a_reader()
    {
        Random random = new(20261);
        (string File, Action<Stream> Read)[] readers =
        [
            ("128M-b-order0to4/state-post.json.gz", stream => ExactStateReader.Parse(ToArray(stream), "state")),
            ("128M-b-order0to4/ops.txt.gz", ReadOperations),
            ("amd64-2G-movablecore512M-mixed.mmlists.gz", stream => MmListsReader.ReadFile(stream, "lists")),
            ("amd64-2G-movablecore512M-mixed.buddyinfo", stream => BuddyInfoFile.Parse(stream, "buddyinfo")),
            ("amd64-256M-smp1-idle-full.trace.txt.gz", ReadTrace),
            ("smp2-fork.trace-cmd-report-l.txt.gz", ReadTrace),
            ("smp2-fork.perf-script-ns.txt.gz", ReadTrace),
        ];
        int refused = 0;
        foreach ((string file, Action<Stream> read) in readers)
        {
            byte[] whole;
            using (Stream stream = InputFile.Open(ImportData.PathOf(file)))
            {
                whole = ToArray(stream);
            }

            whole = whole[..Math.Min(whole.Length, 60_000)];
            for (int round = 0; round < 60; round++)
            {
                byte[] damaged = [.. whole];
                for (int i = random.Next(1, 4); i > 0; i--)
                {
                    // Half of the damage hits with a byte that the formats use.
                    damaged[random.Next(damaged.Length)] = random.Next(2) == 0 ? (byte)random.Next(256) : whole[random.Next(whole.Length)];
                }

                damaged = damaged[..random.Next(damaged.Length / 2, damaged.Length)];
                try
                {
                    read(new MemoryStream(damaged));
                }
                catch (InputFileException e)
                {
                    refused++;
                    e.Reason.Should().NotBeEmpty();
                }
            }
        }

        refused.Should().BeGreaterThan(100);
    }

    private static byte[] ToArray(Stream stream)
    {
        using MemoryStream copy = new();
        stream.CopyTo(copy);
        return copy.ToArray();
    }

    private static void ReadOperations(Stream stream)
    {
        using ExactOperationsReader reader = new(stream, "ops");
        while (reader.TryRead(out _))
        {
        }
    }

    private static void ReadTrace(Stream stream)
    {
        using TraceReader reader = new(stream, "trace");
        while (reader.TryRead(out _))
        {
        }
    }
}
