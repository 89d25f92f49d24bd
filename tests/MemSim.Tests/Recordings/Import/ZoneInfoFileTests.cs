using FluentAssertions;
using MemSim.Captures;
using Xunit;

namespace MemSim.Tests.Recordings.Import;

public class ZoneInfoFileTests
{
    private const string OneZone = """
        Node 0, zone    DMA32
          per-node stats
              nr_inactive_anon 848
          pages free     3712
                boost    0
                min      64
                low      80
                high     96
                spanned  4095
                present  3998
                managed  3840
                cma      0
                protection: (0, 2938)
              nr_free_pages 3712
          pagesets
            cpu: 0
                      count: 1
                      high:  20
                      batch: 1
          vm stats threshold: 6
          node_unreclaimable:  0
          start_pfn:           1
        """;

    [Fact]
    public void A_zone_is_read_with_its_lists()
    {
        ZoneInfoZone zone = ZoneInfoFile.Parse(OneZone).Zones.Should().ContainSingle().Subject;

        zone.ToLayout().Should().Be(new ZoneLayout(0, ZoneType.Dma32, 1, 4095, 3998, 3840));
        (zone.Min, zone.Low, zone.High).Should().Be((64, 80, 96));
        zone.Protection.Should().Equal(0, 2938);
        zone.Pagesets.Should().ContainSingle().Which.Should().BeEquivalentTo(new { Cpu = 0, Count = 1, High = 20, Batch = 1, StatThreshold = 6 });
    }

    [Fact]
    public void A_batch_of_zero_says_that_the_figures_were_blanked_out()
    {
        ZoneInfoZone zone = ZoneInfoFile.Parse(OneZone.Replace("batch: 1", "batch: 0")).Zones[0];

        zone.Min.Should().BeNull();
        zone.Protection.Should().BeNull();
        zone.Managed.Should().Be(3840);
    }

    [Theory]
    [InlineData("managed  3840", "managed  -1", 11, "not a number of page frames")]
    [InlineData("managed  3840", "managed  99999999999999999999", 11, "not a number of page frames")]
    [InlineData("managed  3840", "managed  4000", 1, "do not fit together")]
    [InlineData("managed  3840", "nr_x 1", 1, "has no line 'managed'")]
    [InlineData("cpu: 0", "cpu: 9999", 16, "no kernel has a CPU")]
    [InlineData("zone    DMA32", "zone    DMA33", 1, "no zone is called 'DMA33'")]
    [InlineData("Node 0,", "Node x,", 1, "is not like")]
    [InlineData("Node 0,", "Nod", 1, "starts with a line like")]
    public void A_malformed_file_is_refused_with_its_line(string find, string replace, int line, string reason)
    {
        Action parse = () => ZoneInfoFile.Parse(OneZone.Replace(find, replace), "dir/zoneinfo");

        InputFileException error = parse.Should().Throw<InputFileException>().Which;
        error.Message.Should().StartWith($"dir/zoneinfo({line}): ").And.Contain(reason);
        (error.Path, error.Line).Should().Be(("dir/zoneinfo", line));
    }
}
