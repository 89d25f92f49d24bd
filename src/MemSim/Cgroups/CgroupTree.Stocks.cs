namespace MemSim;

/// <content>What each CPU has charged ahead.</content>
public sealed partial class CgroupTree
{
    private readonly CgroupStock[]?[] _stocks;
    private int _nextVictim;

    /// <summary>Pages of a cgroup that CPUs have charged ahead.</summary>
    internal long StockOf(Cgroup cgroup)
    {
        long pages = 0;
        foreach (CgroupStock[]? stocks in _stocks)
        {
            for (int i = 0; stocks is not null && i < stocks.Length; i++)
            {
                pages += ReferenceEquals(stocks[i].Owner, cgroup) ? stocks[i].Pages : 0;
            }
        }

        return pages;
    }

    /// <summary>Gives back what CPUs have charged ahead for a cgroup and those below (<c>drain_all_stock()</c>).</summary>
    internal void DrainStocks(Cgroup top)
    {
        foreach (CgroupStock[]? stocks in _stocks)
        {
            for (int i = 0; stocks is not null && i < stocks.Length; i++)
            {
                if (stocks[i].Owner is { } owner && owner.IsBelow(top))
                {
                    Drain(ref stocks[i]);
                }
            }
        }

        DrainObjects(top);
    }

    /// <summary>Takes pages from the CPU's stock (<c>consume_stock()</c>).</summary>
    private bool TryConsume(Cpu cpu, Cgroup cgroup, long pages)
    {
        if (pages > BatchPages)
        {
            return false;
        }

        foreach (ref CgroupStock stock in StocksOf(cpu).AsSpan())
        {
            if (ReferenceEquals(stock.Owner, cgroup))
            {
                if (stock.Pages < pages)
                {
                    return false;
                }

                stock.Pages -= pages;
                return true;
            }
        }

        return false;
    }

    /// <summary>Puts charged pages into the CPU's stock; more than a batch goes back whole (<c>refill_stock()</c>).</summary>
    private void Refill(Cpu cpu, Cgroup cgroup, long pages)
    {
        if (pages > BatchPages && Rules.StocksPerCpu > 1)
        {
            cgroup.Memory.Uncharge(pages);
            return;
        }

        CgroupStock[] stocks = StocksOf(cpu);
        int place = -1;
        for (int i = 0; i < stocks.Length; i++)
        {
            if (ReferenceEquals(stocks[i].Owner, cgroup))
            {
                place = i;
                break;
            }

            place = stocks[i].Owner is null && place < 0 ? i : place;
        }

        if (place < 0)
        {
            // No place is left: one of the others goes.
            place = _nextVictim++ % stocks.Length;
            Drain(ref stocks[place]);
        }

        ref CgroupStock stock = ref stocks[place];
        stock.Owner = cgroup;
        stock.Pages += pages;
        if (stock.Pages > BatchPages)
        {
            Drain(ref stock);
        }
    }

    private static void Drain(ref CgroupStock stock)
    {
        stock.Owner?.Memory.Uncharge(stock.Pages);
        stock = default;
    }

    private CgroupStock[] StocksOf(Cpu cpu) => _stocks[cpu.Id] ??= new CgroupStock[Rules.StocksPerCpu];

    /// <summary>Pages charged ahead for a cgroup (<c>struct memcg_stock_pcp</c>).</summary>
    private struct CgroupStock
    {
        public Cgroup? Owner;
        public long Pages;
    }
}
