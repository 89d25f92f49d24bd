namespace MemSim.Boot;

/// <summary>Finds places for free blocks so that no two of them are buddies, which would be one block: where a block is placed, its buddy never becomes free as a whole.</summary>
internal sealed class BlockPacker(int pageblockOrder)
{
    private readonly Room _ordinary = new(pageblockOrder);
    private readonly Room _areas = new(pageblockOrder);
    private readonly Dictionary<long, MigrateType> _types = [];
    private readonly SortedDictionary<MigrateType, Pool> _pools = [];

    /// <summary>Page blocks that got a type because room was taken in them.</summary>
    public IReadOnlyDictionary<long, MigrateType> Pageblocks => _types;

    /// <summary>Adds room.</summary>
    /// <param name="pfn">A range that is free and whose buddy is not.</param>
    /// <param name="order">log2 of its pages.</param>
    /// <param name="isCma">Whether it lies in a contiguous area.</param>
    public void Add(int pfn, int order, bool isCma) => (isCma ? _areas : _ordinary).Add(pfn, order);

    /// <summary>Takes the place of a block.</summary>
    /// <returns>Its first frame, and the type of the page block, which is another one where the own has no room; null where there is none.</returns>
    public (int Pfn, MigrateType Type)? Take(int order, MigrateType type)
    {
        Room room = type == MigrateType.Cma && !_areas.IsEmpty ? _areas : _ordinary;
        if (order > pageblockOrder)
        {
            if (!room.TakeLarge(order, out int large))
            {
                return null;
            }

            for (long block = (long)large >> pageblockOrder; block < ((long)large + (1L << order)) >> pageblockOrder; block++)
            {
                _types[block] = type;
            }

            return (large, type);
        }

        if (!_pools.TryGetValue(type, out Pool? pool))
        {
            _pools.Add(type, pool = new Pool());
        }

        int? own = pool.Take(order);
        while (own is null && room.Open(order, out long block, out bool isWhole, out List<(int Pfn, int Order)> ranges))
        {
            _types[block] = type;
            foreach ((int pfn, int size) in ranges)
            {
                pool.Add(pfn, size, isWhole);
            }

            own = pool.Take(order);
        }

        if (own is int first)
        {
            return (first, type);
        }

        foreach ((MigrateType other, Pool elsewhere) in _pools)
        {
            if ((other == MigrateType.Cma) == (type == MigrateType.Cma) && elsewhere.Take(order) is int pfn)
            {
                return (pfn, other);
            }
        }

        return null;
    }

    /// <summary>Ranges that no type has yet, by page block; those larger than one wait to be used as a whole.</summary>
    private sealed class Room(int pageblockOrder)
    {
        private readonly SortedDictionary<long, List<(int Pfn, int Order)>> _blocks = [];
        private readonly Queue<(int Pfn, int Order)> _large = new();
        private readonly Stack<int> _halves = new();
        private LinkedList<long>? _unopened;

        public bool IsEmpty => _blocks.Count == 0 && _large.Count == 0;

        public void Add(int pfn, int order)
        {
            if (order > pageblockOrder)
            {
                _large.Enqueue((pfn, order));
                return;
            }

            long block = (long)pfn >> pageblockOrder;
            if (!_blocks.TryGetValue(block, out List<(int Pfn, int Order)>? ranges))
            {
                _blocks.Add(block, ranges = []);
            }

            ranges.Add((pfn, order));
        }

        public bool TakeLarge(int order, out int pfn)
        {
            bool some = _large.TryPeek(out (int Pfn, int Order) range) && range.Order == order && _large.TryDequeue(out range);
            pfn = range.Pfn;
            return some;
        }

        /// <summary>Gives a page block to a type: one that has room for the block wanted, so that none is lost to a type that cannot use it.</summary>
        /// <param name="order">log2 of the pages wanted.</param>
        /// <param name="block">Its number.</param>
        /// <param name="isWhole">Whether its ranges may become free as a whole: not so for the upper half of a larger range.</param>
        /// <param name="ranges">The ranges in it.</param>
        public bool Open(int order, out long block, out bool isWhole, out List<(int Pfn, int Order)> ranges)
        {
            _unopened ??= new(_blocks.Keys);
            isWhole = true;
            for (LinkedListNode<long>? node = _unopened.First; node is not null; node = node.Next)
            {
                block = node.Value;
                ranges = _blocks[block];
                if (ranges.Exists(r => r.Order >= order))
                {
                    _unopened.Remove(node);
                    return true;
                }
            }

            isWhole = false;
            if (!_halves.TryPop(out int pfn))
            {
                if (!_large.TryDequeue(out (int Pfn, int Order) range))
                {
                    (block, ranges) = (0, []);
                    return false;
                }

                isWhole = true;
                pfn = range.Pfn;
                for (int half = pfn + (1 << pageblockOrder); half < pfn + (1 << range.Order); half += 1 << pageblockOrder)
                {
                    _halves.Push(half);
                }
            }

            block = (long)pfn >> pageblockOrder;
            ranges = [(pfn, pageblockOrder)];
            return true;
        }
    }

    /// <summary>Ranges of page blocks of one type: those that may become one free block, and those of which only a part may be free.</summary>
    private sealed class Pool
    {
        private readonly Stack<int>[] _whole = Stacks();
        private readonly Stack<int>[] _partial = Stacks();

        public void Add(int pfn, int order, bool isWhole) => (isWhole ? _whole : _partial)[order].Push(pfn);

        public int? Take(int order)
        {
            if (_whole[order].TryPop(out int exact))
            {
                return exact;
            }

            for (int larger = order + 1; larger < PageGeometry.OrderCount; larger++)
            {
                if (!_partial[larger].TryPop(out int pfn) && !_whole[larger].TryPop(out pfn))
                {
                    continue;
                }

                while (larger > order)
                {
                    // The lower half is used. The upper one may become free as a whole only if the lower one does not.
                    larger--;
                    Add(pfn + (1 << larger), larger, isWhole: larger != order);
                }

                return pfn;
            }

            return null;
        }

        private static Stack<int>[] Stacks() => [.. Enumerable.Range(0, PageGeometry.OrderCount).Select(_ => new Stack<int>())];
    }
}
